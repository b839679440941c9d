"""The command that repeats one cell, whatever grid or options it came from."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmark import settings
from benchmark.cells import Cell, Trials
from benchmark.settings import INPUT_KEYS, Settings


def command(cell: Cell, on: Trials, *, data: Path, weights: Path | None = None, lists: Path | None = None) -> str:
    """A line for a shell: `run` or `score` of this very cell on the catalog below `data`."""
    words = ["python", "-m", "benchmark", "run" if cell.trained else "score"]
    words += ["--protocol", cell.protocol, "--detector", cell.detector, "--seed", str(cell.seed), "--data", str(data)]
    words += ["--partial"] if on.partial else []
    words += ["--weights", str(weights)] if weights else []
    words += ["--lists", str(lists)] if lists else []
    clip = on.protocol.clip if cell.trained else None
    given = assignments(cell.settings, clip=clip, balance=on.protocol.balance)
    return shlex.join([*words, *(["--set", *given] if given else [])])


def assignments(how: Settings, *, clip: int | None, balance: str) -> list[str]:
    """KEY=VALUE words with which a protocol of this clip and balance gives these settings.

    What differs from the detector's own is named: constructor arguments and input first, then what is trained
    otherwise, and the phases where naming the rest does not give them.
    """
    wanted = {key: value for key, value in how.config.items() if (key, value) != ("samples", clip)}

    def differing(keys: Any, part: str) -> dict[str, Any]:
        plain = settings.resolve(how.detector, {how.detector: wanted}, clip=clip, weights=how.weights)
        theirs, ours = ({**asdict(one)[part]} for one in (plain, how))
        if part == "training" and theirs["balance"] == "protocol":
            theirs["balance"] = balance if ours["balance"] != "protocol" else "protocol"
        return {key: ours[key] for key in keys if _text(ours[key]) != _text(theirs[key])}  # a run's id tells 1 from 1.0

    wanted |= differing(INPUT_KEYS, "input")
    wanted |= differing([key for key in asdict(how.training) if key != "phases"], "training")
    wanted |= differing(["phases"], "training")
    return [f"{key}={_text(value)}" for key, value in sorted(wanted.items())]


def _text(value: Any) -> str:
    """As `settings.parse` reads it: JSON, and words that are no JSON as they are."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else list(value)
