"""How fast detectors score and train, beside the plainest faithful form of each in the same run.

48,000 samples at batch 4 (2 for the large ones), float32, one CPU thread, CPU time. The plain form is the network as
published, operation by operation: whole maps, the batch norm and SELU of the residual blocks that are computed and
thrown away, attention as a product, a softmax and a product.
"""

import contextlib
import time
from collections.abc import Callable

import torch

from benchmark import timing

SAMPLES, ROUNDS = 48_000, 4
# detector, settings, clips, least gain in scoring and in training (1 = not slower, within the noise of the clock)
CASES = (
    ("aasist", {"samples": SAMPLES}, 4, 2.0, 1.3),
    ("rawgat_st_s", {}, 4, 2.0, 1.3),
    ("rawnet2", {"samples": SAMPLES}, 4, 1.0, 1.0),
    ("lfcc_lcnn", {}, 4, 1.0, 1.0),
    ("fd_add", {}, 4, 1.0, 1.0),
    ("w2v2_ft", {}, 2, 1.0, 1.0),
)


def in_turns(forms: dict[str, dict[str, Callable[[], None]]], rounds: int) -> dict[str, dict[str, float]]:
    """Least CPU seconds of each call of each form; forms take turns, first or last, so that what was before is fair."""
    least = {form: dict.fromkeys(calls, float("inf")) for form, calls in forms.items()}
    for turn in range(rounds + 1):  # the first warms up
        for form, calls in list(forms.items())[:: -1 if turn % 2 else 1]:
            for what, call in calls.items():
                start = time.process_time()
                call()
                if turn:
                    least[form][what] = min(least[form][what], time.process_time() - start)
    return least


def seconds(name: str, config: dict, clips: int, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """{"quick": {"scoring": s, "training": s}, "plain": ...} of one batch."""
    with contextlib.ExitStack() as held:
        forms = {}
        for form in ("quick", "plain"):
            torch.manual_seed(0)
            model, attacks = timing.built(name, **config)
            if form == "plain":
                held.enter_context(timing.plain(model))
            calls = timing.steps(model, timing.material(model, clips, attacks=attacks, samples=SAMPLES))
            forms[form] = dict(zip(("scoring", "training"), calls))
        return in_turns(forms, rounds)


def rows() -> list[dict]:
    """One dict per figure: name, value, unit, limit (the plain form's), reach (least value / limit)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = []
    for name, config, clips, *reach in CASES:
        spent = seconds(name, config, clips)
        for what, least in zip(("scoring", "training"), reach):
            found.append(
                {
                    "name": f"{name} {what}, {SAMPLES} samples, 1 thread",
                    "value": clips / spent["quick"][what],
                    "unit": "utterances/s",
                    "limit": clips / spent["plain"][what],  # in the same unit
                    "reach": least if least > 1 else 0.95,  # never slower, but for the noise of the clock
                }
            )
    torch.set_num_threads(threads)
    return found
