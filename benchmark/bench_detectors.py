"""How fast detectors score and train, beside the plainest faithful form of each in the same run.

48,000 samples at batch 4 (2 for the large ones), float32, one CPU thread, CPU time. The plain form is the network as
published, operation by operation: whole maps, the batch norm and SELU of the residual blocks that are computed and
thrown away, attention as a product, a softmax and a product.
"""

import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmark import timing
from ingest import turns

SAMPLES, ROUNDS, STEPS = 48_000, 4, ("scoring", "training")
# detector, settings, clips, least gain in scoring and in training (1 = not slower, within the noise of the clock)
CASES = (
    ("aasist", {"samples": SAMPLES}, 4, 2.0, 1.3),
    ("rawgat_st_s", {}, 4, 2.0, 1.3),
    ("rawnet2", {"samples": SAMPLES}, 4, 1.0, 1.0),
    ("lfcc_lcnn", {}, 4, 1.0, 1.0),
    ("fd_add", {}, 4, 1.0, 1.0),
    ("w2v2_ft", {}, 2, 1.0, 1.0),
)


def timed(name: str, config: dict, clips: int) -> turns.Turns:
    """CPU seconds of an utterance of "quick scoring", "quick training", "plain scoring", "plain training"."""
    with contextlib.ExitStack() as held:
        calls = {}
        for form in ("quick", "plain"):
            torch.manual_seed(0)
            model, attacks = timing.built(name, **config)
            if form == "plain":
                held.enter_context(timing.plain(model))
            steps = timing.steps(model, timing.material(model, clips, attacks=attacks, samples=SAMPLES))
            calls |= {f"{form} {what}": partial(_count, step, clips) for what, step in zip(STEPS, steps, strict=True)}
        return turns.in_turns(calls, ROUNDS, clock=time.process_time)


def _count(step: Callable[[], Any], clips: int) -> int:
    step()
    return clips


def rows() -> list[dict]:
    """One dict per figure: name, value, unit, limit (the plain form's), reach (least value / limit)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = []
    for name, config, clips, *reach in CASES:
        spent = timed(name, config, clips)
        for what, least in zip(STEPS, reach, strict=True):
            found.append(
                {
                    "name": f"{name} {what}, {SAMPLES} samples, 1 thread",
                    "value": spent.best(f"quick {what}"),
                    "unit": "utterances/s",
                    "limit": spent.best(f"plain {what}"),
                    "reach": least if least > 1 else 0.95,  # never slower, but for the noise of the clock
                }
            )
    torch.set_num_threads(threads)
    return found
