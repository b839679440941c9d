"""What a detector is: a network with an input, a score, a loss, a training recipe and a way to load weights."""

import argparse
import contextlib
import pickle
import re
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from benchmark.batch import Batch
from ingest.files import refuse_damaged, refuse_packed
from ingest.types import DataError

RATE_HZ = 16_000
HOLDERS = ("state_dict", "model_state_dict", "model", "net")  # under which training code keeps the weights in a file
WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "detector.")  # in front of every name, from the same code
COUNTER = "num_batches_tracked"
AVERAGED = "n_averaged"
LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class Input:
    """What a detector is fed with.

    feature, params: the extractor (`features.extractors.get(feature, **params)`) and its settings.
    samples: length of the wave at 16 kHz before extraction; None = the whole utterance.
    train_samples: length in training where it differs (crops of utterances that are scored whole).
    train_short: as `short`, in training, where that differs; or repeat_random (tiled, then cut at random).
    windows: in training every window of an utterance, train_samples long and without overlap, is a trial.
    train_crop, test_crop: where a longer utterance is cut: random, first or middle. No detector tests at random; with
        test_crop=random the run's seed and the utterance's name decide where.
    short: what is done with a shorter one: repeat (tiled from its start), zero (followed by zeros) or none (left as it
        is).
    level: what its samples are divided by (benchmark.level): as_is, nothing; clip_peak, the peak of the whole utterance
        before it is cut; crop_peak, the peak of what was cut.
    fixed: the length is built into the network, so that a protocol's own clip length cannot replace it.
    """

    feature: str = "raw"
    params: Mapping[str, Any] = field(default_factory=dict)
    samples: int | None = 48_000
    train_crop: str = "random"
    test_crop: str = "first"
    short: str = "repeat"
    level: str = "as_is"
    fixed: bool = False
    train_samples: int | None = None
    train_short: str | None = None
    windows: bool = False


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What happened to the entries of a weight file: how many were loaded, which were missing or unexpected."""

    loaded: int
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()

    def whole(self, path: Path | str) -> "LoadReport":
        """The report itself. DataError if weights are missing, as a score would then hang on chance."""
        if absent := [key for key in self.missing if not key.endswith(COUNTER)]:
            raise DataError(
                f"{path} is a starting point for training, not a trained detector: {len(absent)} entries are missing "
                f"(first: {absent[0]}); train from it with --set weights={path}"
            )
        return self

    def __str__(self) -> str:
        parts = [f"{self.loaded} entries loaded"]
        for names, word, so in ((self.missing, "missing", "as built"), (self.unexpected, "unexpected", "left out")):
            parts.append(f"{len(names)} {word}" + (f" ({so}; first: {names[0]})" if names else ""))
        return ", ".join(parts)


class Detector(nn.Module):
    """A system that gives one score per utterance; every file of this folder defines one.

    Class constants: INPUT; PAPER (source and section), YEAR, CITATION (a key); TRAINING, what differs from
    `training.toml`; WEIGHTS, the published files that `load_weights` takes; EER, published figures in percent
    by test set; OFFLINE, settings with which it can be built at full size without any file; SMALL, settings
    for a quick check. A configuration that changes the input or the recipe sets `self.input` or
    `self.TRAINING` on the instance. TRANSFORM, VARIANTS, REFERENCE and COMPANIONS say what the recipe wants in a
    batch beside crops of the clips (`benchmark.feeds`).

    `fast` chooses between the plain form, operation by operation as published, and an equal one that is
    quicker where a detector has it. Both compute the same function; tests state within which tolerance.
    OWN_DEV_LOSS: a recipe that selects by loss asks `loss` itself on dev, in evaluation mode and without the columns of
    training; otherwise the cross entropy of the scores.

    CHANNELS_LAST: the quick form keeps channels innermost in memory, where that was measured to be quicker.

    MAPS: word -> dotted name of each stage whose Grad-CAM is shown; empty: the last convolution (benchmark.gradcam).
    DIAGNOSTICS: figures of its inside that `diagnose` gives of each clip, and what each is; stored beside the scores.
    """

    INPUT: ClassVar[Input] = Input()
    PAPER: ClassVar[str] = ""
    YEAR: ClassVar[int | None] = None
    CITATION: ClassVar[str] = ""
    TRAINING: dict[str, Any] = {}
    WEIGHTS: ClassVar[str] = ""
    EER: ClassVar[Mapping[str, float]] = {}
    OFFLINE: ClassVar[Mapping[str, Any]] = {}
    SMALL: ClassVar[Mapping[str, Any]] = {}
    OWN_DEV_LOSS: bool = False
    CHANNELS_LAST: ClassVar[bool] = False
    MAPS: ClassVar[Mapping[str, str]] = {}
    DIAGNOSTICS: ClassVar[Mapping[str, str]] = {}
    TRANSFORM: str | None = None
    VARIANTS: str | None = None
    REFERENCE: bool = False
    COMPANIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = {}

    def __init__(self):
        super().__init__()
        self.input = type(self).INPUT
        self.fast = True
        self._quick_attention: list[tuple[Any, str]] = []  # of the backbones that now compute attention plainly

    def take_form(self, *, fast: bool) -> None:
        """Take the quick form or the plain one: eager operations, contiguous maps, attention as it is written."""
        self.fast = fast
        if self.CHANNELS_LAST:
            self.to(memory_format=torch.channels_last if fast else torch.contiguous_format)
        if fast:
            while self._quick_attention:
                config, kind = self._quick_attention.pop()
                config._attn_implementation = kind
        elif not self._quick_attention:
            for config in {id(m.config): m.config for m in self.modules() if hasattr(m, "config")}.values():
                self._quick_attention.append((config, config._attn_implementation))
                config._attn_implementation = "eager"

    @property
    def parameter_count(self) -> int:
        """How many numbers a training sets."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def form(self) -> str:
        """What a run records of the form: plain, fast, or fast with channels last."""
        return "plain" if not self.fast else "fast, channels last" if self.CHANNELS_LAST else "fast"

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, ...) features -> (batch,) scores on no fixed scale, higher = more bona fide."""
        raise TypeError(f"{type(self).__name__} does not say how it scores")

    def score_batch(self, batch: Batch) -> torch.Tensor:
        """(batch,) scores of a batch: of its features alone, unless the detector hears a reference."""
        return self.score(batch.x)

    def diagnose(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """`score_batch`, and each of DIAGNOSTICS as (batch,): one pass through a network that has them."""
        return self.score_batch(batch), {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The score, so that wrappers that call the module (compilers, parallel training) reach it."""
        return self.score(x)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Scalar training loss: binary cross entropy of the score taken as a logit, target 1 = bona fide."""
        return functional.binary_cross_entropy_with_logits(self.score(batch.x), batch.target.float())

    def map_weights(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The entries of a published file under our names: as they are, unless a detector says otherwise."""
        return state

    def load_weights(self, path: Path | str) -> LoadReport:
        """Load a published or own weight file; every entry must fit.

        Raises DataError, and changes nothing, if the file cannot be read safely or an entry is missing, left
        over or of another shape.
        """
        path = Path(path)
        return fill(self, mapped(self, path), path=path)


# A detector that is not trained by gradient has `fit(batches, seed=...)`; each call of `batches` starts the training
# set anew.
Batches = Callable[[], Iterable[Batch]]


def fill(
    module: nn.Module,
    state: Mapping[str, torch.Tensor],
    *,
    path: Path,
    ignored: Callable[[str], bool] = lambda key: False,
    optional: tuple[str, ...] = (),
) -> LoadReport:
    """Load `state` into `module`; the report counts what was ignored and absent, too.

    Strict: an entry that is missing, of another shape, or left over and not `ignored`, is a DataError, and nothing is
    changed; only the `optional` ones may be absent. So is one that holds whole numbers, or none, where there are
    weights. The batch norms' counters of steps, which no score depends on and which older files lack, may be absent or
    left over.
    """
    own = module.state_dict()
    missing = [key for key in own if key not in state and key not in optional and not key.endswith(COUNTER)]
    unexpected = [key for key in state if key not in own and not ignored(key) and not key.endswith(COUNTER)]
    shapes = [key for key in own if key in state and own[key].shape != state[key].shape]
    both = [key for key in own if key in state and key not in shapes and own[key].is_floating_point()]
    kinds = [key for key in both if not state[key].is_floating_point()]
    wild = [key for key in both if key not in kinds and not bool(state[key].to(own[key].dtype).isfinite().all())]
    problems = [
        f"{len(keys)} {word} (first: {keys[0]})"
        for keys, word in (
            (missing, "missing"), (unexpected, "unexpected"), (shapes, "of another shape"),
            (kinds, "of another type"), (wild, "with numbers that are not finite"),
        )
        if keys
    ]  # fmt: skip
    if problems:
        raise DataError(
            f"{path} does not fit {type(module).__name__}: of {len(own)} entries {', '.join(problems)}; "
            "check the detector and its settings"
        )
    taken = {key: state[key] for key in own if key in state}
    module.load_state_dict({**own, **taken})
    absent, left = (tuple(key for key in a if key not in b) for a, b in ((own, state), (state, own)))
    return LoadReport(len(taken), absent, left)


def mapped(detector: Detector, path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file under the names of `detector`; what does not fit is told with the file's name."""
    state = plain_names(read_state(path), detector.state_dict())
    try:
        return detector.map_weights(state)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a PyTorch or safetensors file, on the CPU; nothing in the file is executed.

    A dictionary that holds the weights under one of `HOLDERS`, or one such dictionary in another, is opened; beside
    them may lie what training code leaves there, such as its command line (a Namespace). DataError if the file is
    absent, unreadable, damaged, or holds anything but tensors by name.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such weight file; name the file itself, not its folder")
    try:
        with open(path, "rb") as file:
            if file.read(len(LFS_POINTER)) == LFS_POINTER:
                raise DataError(f"{path} is a Git LFS pointer, not the weights; fetch them with git lfs pull")
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path, device="cpu")
        _refuse_archive(path)
        refuse_packed(path)
        refuse_damaged(path)
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it takes a broken file for, before it refuses it
            state = torch.load(path, map_location="cpu", weights_only=True)
    except DataError:
        raise
    except Exception as error:  # every way in which a foreign file can be broken
        raise DataError(f"{path} cannot be read as a weight file: {_reason(error)}") from error
    for _ in range(4):  # deeper is none that training code leaves, and one that holds itself has no end
        if isinstance(state, dict) and (inner := next((k for k in HOLDERS if isinstance(state.get(k), dict)), None)):
            state = state[inner]
    entries = state.items() if isinstance(state, dict) else [(None, state)]
    if not all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in entries):
        raise DataError(f"{path} is not a state dict: it must map names to tensors")
    wide = [k for k, v in state.items() if v.layout != torch.strided or v.nbytes > v.untyped_storage().nbytes()]
    if wide:  # one number that stands for terabytes, until something copies it
        raise DataError(f"{path} is not a weight file: {wide[0]} claims more numbers than it has")
    return dict(state)


def _refuse_archive(path: Path) -> None:
    """Raise DataError for a ZIP or tar of files, as weights are published in: PyTorch's own ZIP holds a data.pkl."""
    found = []
    damaged = (zipfile.BadZipFile, tarfile.TarError, ValueError, NotImplementedError, EOFError, zlib.error)
    with contextlib.suppress(*damaged):  # what it is instead, its reader says
        if tarfile.is_tarfile(path):  # first: a ZIP that ends a tar looks like one
            with tarfile.open(path) as archive:
                found = [first.name for first in (archive.next(),) if first]
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
            found = [] if any(Path(name).name == "data.pkl" for name in names) else names
    if found:
        raise DataError(f"{path} is an archive (first in it: {found[0]!r}); unpack it and name the weight file")


def _reason(error: Exception) -> str:
    """Why PyTorch cannot read a file, in one line and without its advice to read it unsafely."""
    text = str(error).strip()
    if "TorchScript" in text:
        return "it is a TorchScript archive; save the state_dict() of its network instead"
    if found := re.search(r"(?:GLOBAL|class|function) ([\w.]+)", text):
        return f"it holds a Python object ({found[1]}), which could run code; save the state_dict() alone"
    if isinstance(error, EOFError) or "PytorchStreamReader" in text:
        return "it is damaged or cut short; copy or download it again"
    if isinstance(error, pickle.UnpicklingError | LookupError | TypeError | AttributeError | UnicodeError):
        return "it was not written by torch.save; download it again"
    return text.splitlines()[0] if text else type(error).__name__


def plain_names(state: Mapping[str, torch.Tensor], own: Iterable[str] = ()) -> dict[str, torch.Tensor]:
    """The entries without what parallel training, compilers and trainers put in front of every name.

    own: the names that are wanted; a prefix that all of these have, too, stays. The count beside torch's averaged
    weights (AveragedModel) goes.
    """
    own = tuple(own)
    kept = {key: value for key, value in state.items() if key != AVERAGED or key in own}
    while prefix := next((p for p in WRAPPERS if _all_start(kept, p) and not _all_start(own, p)), None):
        kept = {key.removeprefix(prefix): value for key, value in kept.items()}
    return kept


def _all_start(names: Collection[str], prefix: str) -> bool:
    return bool(names) and all(name.startswith(prefix) for name in names)
