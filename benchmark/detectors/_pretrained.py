"""Where pretrained weights are found: a path the user gives, or the local caches; nothing is ever downloaded."""

import functools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from benchmark.detectors._base import Detector, LoadReport, fill, mapped
from ingest.files import sha256
from ingest.types import DataError

IN_FOLDER = ("model.safetensors", "pytorch_model.bin")  # of a hub folder the first that is there is read
RANDOM = "random"  # weights=random: start from scratch, no file


def find(weights: str | None, *, detector: str, files: tuple[str, ...], also: str = "") -> Path | None:
    """The weight file: `weights` itself, or one of `files` in the torch hub cache; None for weights=random.

    also: another place that the caller has looked in. Raises DataError that names the files, the folders, the setting.
    """
    if weights == RANDOM:
        return None
    if weights is not None:
        if (path := Path(os.path.expanduser(weights))).exists():  # a shell leaves the ~ of weights=~/x as it is
            return path
        raise DataError(f"{detector}: weights={weights} does not exist; expected {' or '.join(files)}")
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    for name in files:
        if (folder / name).exists():
            return folder / name
    raise DataError(
        f"{detector}: no pretrained weights ({' or '.join(files)} is not in {folder}{also and f' or {also}'}); give "
        f"the file with --set weights=PATH, or start from scratch with --set weights={RANDOM}"
    )


def hashes(place: Path | str) -> list[str]:
    """sha256 of what is read of a weight file, or of a hub folder: its configuration, then its weights. Empty if it is
    neither."""
    place = Path(os.path.expanduser(place))
    weights = next((place / name for name in IN_FOLDER if os.path.isfile(place / name)), None)
    parts = [place] if os.path.isfile(place) else [place / "config.json", weights] if weights else []
    stats = [(part, part.stat()) for part in parts if os.path.isfile(part)]
    return [_sha256(part, stat.st_size, stat.st_mtime_ns) for part, stat in stats]


@functools.cache
def _sha256(path: Path, size: int, changed_ns: int) -> str:
    return sha256(path)


def began_from(detector: nn.Module) -> Path | None:
    """The file of pretrained weights that a detector, or the backbone in it, was built with; None without one."""
    return next((module.began_from for module in detector.modules() if getattr(module, "began_from", None)), None)


def tell(detector: str, path: Path, report: LoadReport) -> None:
    """Say what was taken from a file that training starts from: what is missing there is not pretrained."""
    print(f"{detector}: {path}: {report}", file=sys.stderr)


def under(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The entries whose name starts with `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def laid_out_only(module: nn.Module) -> bool:
    """Is the module on the meta device, where no weights are held and no file need be read?"""
    return any(parameter.is_meta for parameter in module.parameters())


def rename(
    state: Mapping[str, torch.Tensor], prefixes: Mapping[str, str], *, drop: tuple[str, ...] = ()
) -> dict[str, torch.Tensor]:
    """Entries with the first fitting prefix replaced; those whose new name starts with one of `drop` are left out."""
    renamed = {}
    for key, value in state.items():
        old = next((prefix for prefix in prefixes if key.startswith(prefix)), None)
        name = key if old is None else prefixes[old] + key.removeprefix(old)
        if not name.startswith(drop):
            renamed[name] = value
    return renamed


class Pretrained(Detector):
    """A detector that starts from a published file of another task, which holds everything but its heads.

    FILES: names of that file. HEADS: prefixes of the entries it lacks; IGNORED: of entries that it has beside.
    `load_weights` takes such a file and complete ones of the detector itself; the report says which entries kept
    their initial values (missing) and which of the file were left out (unexpected).
    """

    FILES: ClassVar[tuple[str, ...]] = ()
    HEADS: ClassVar[tuple[str, ...]] = ()
    IGNORED: ClassVar[tuple[str, ...]] = ()

    def start_from(self, weights: str | None, *, detector: str) -> None:
        """Load the pretrained file that `weights` stands for (see `find`); nothing on the meta device."""
        if not laid_out_only(self) and (path := find(weights, detector=detector, files=self.FILES)) is not None:
            tell(detector, path, self.load_weights(path))
            self.began_from = path

    def load_weights(self, path: Path | str) -> LoadReport:
        """Load a pretrained file or a complete one; DataError if anything but the heads is missing."""
        path = Path(path)
        state = mapped(self, path)
        heads = [key for key in self.state_dict() if key.startswith(self.HEADS)]
        absent = tuple(heads) if not any(key in state for key in heads) else ()
        return fill(self, state, path=path, ignored=lambda key: key.startswith(self.IGNORED), optional=absent)
