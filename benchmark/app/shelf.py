"""The detectors that the page offers: loaded when first chosen, the last few kept."""

import argparse
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmark import trained
from benchmark.inference import DeepfakeDetector
from ingest.types import DataError

KEPT = 4  # detectors in memory


class Shelf:
    """Name -> detector. Loading and judging go one after the other, under `lock`."""

    def __init__(self, sources: Mapping[str, Callable[[], DeepfakeDetector]]):
        self._sources = dict(sources)
        self._loaded: dict[str, DeepfakeDetector] = {}
        self.lock = threading.RLock()

    @property
    def names(self) -> list[str]:
        """What can be chosen, in order."""
        return list(self._sources)

    def get(self, name: str) -> DeepfakeDetector:
        """The detector of this name. Raises DataError if it does not load."""
        with self.lock:
            detector = self._loaded.pop(name, None) or self._sources[name]()
            self._loaded[name] = detector
            while len(self._loaded) > KEPT:
                del self._loaded[next(iter(self._loaded))]
            return detector


def of(arguments: argparse.Namespace) -> Shelf:
    """What the command line names, every one tried once; without any, the finished runs below DATA.

    Raises DataError if a name is not there, does not load, or there is nothing.
    """
    named = _named(arguments)
    sources: dict[str, Callable[[], DeepfakeDetector]] = {}
    for name, source, options in named or [(run, run, {}) for run in trained.runs(arguments.data)]:
        number = sum(known.split(" #")[0] == name for known in sources)
        label = f"{name} #{number + 1}" if number else name
        sources[label] = partial(
            DeepfakeDetector, source, data=arguments.data, device=arguments.device, lists=arguments.lists, **options
        )
    shelf = Shelf(sources)
    for name in shelf.names if named else shelf.names[:1]:
        shelf.get(name)
    return shelf


def _named(arguments: argparse.Namespace) -> list[tuple[str, str | Path, dict[str, Any]]]:
    """(name, source, more arguments of DeepfakeDetector) of each detector that the command line names."""
    from benchmark import detectors, settings

    found: list[tuple[str, str | Path, dict[str, Any]]] = []
    for run in arguments.run:
        found.append((trained.run_folder(arguments.data, run).name, run, {}))
    for folder in arguments.model:
        if not (folder / trained.SETTINGS).is_file():
            raise DataError(f"--model {folder} holds no {trained.SETTINGS}; python -m benchmark export writes it")
        found.append((folder.resolve().name, folder, {}))
    if arguments.weights is not None:
        if arguments.detector is None:
            raise DataError(f"--weights {arguments.weights}: say which detector it belongs to with --detector ID")
        if not arguments.weights.is_file():
            raise DataError(f"--weights {arguments.weights} is not a file")
        own = settings.parse(arguments.set, detectors.names())
        options = {"detector": arguments.detector, "settings": own, "calibrate_on": arguments.calibrate_on}
        found.append((f"{arguments.detector} {arguments.weights.name}", arguments.weights, options))
    elif arguments.set or arguments.calibrate_on:
        raise DataError("--set and --calibrate-on go with --weights; runs and exports bring their own")
    elif arguments.detector is not None:
        run = trained.newest_run(arguments.data, arguments.detector)
        found.append((run, run, {}))
    return found
