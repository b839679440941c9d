"""The singing voice alone: Demucs separates, the vocal stem is kept, as 16 kHz mono beside the original clips.

Nothing is downloaded. The weights come from a folder or from what a Hugging Face or torch.hub download left in its
cache; a .th file is read with weights_only and an allowlist of Demucs' own classes, so it can run no code.
"""

import functools
import importlib.metadata
import inspect
import json
import os
import pickle
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ingest import audio, catalog, parallel
from ingest.files import refuse_packed, sha256
from ingest.types import DataError, nearest
from shards import clip, root, variants, writer
from shards.device import exact
from shards.rate import RATE_HZ, resampled
from shards.variant_writer import catalog_row, record

OVERLAP = 0.25  # of neighbouring windows, joined by triangular weights, as demucs.apply does by default
CLIPS_AT_ONCE, SECONDS_AT_ONCE = 64, 600.0  # whose windows share batches: a song of four minutes takes 450 MB
BATCH_CPU, BATCH_CUDA = 1, 64  # windows; on cuda at most, by the memory that is free
CLASSES = {"HTDemucs": "demucs.htdemucs", "HDemucs": "demucs.hdemucs", "Demucs": "demucs.demucs"}


@dataclass(frozen=True, slots=True)
class Model:
    """A separator on disk: its name, the files of its networks with their sha256, and how they are weighed."""

    name: str
    files: tuple[tuple[str, str], ...]
    weights: tuple[tuple[float, ...], ...] | None  # of each network's sources; None: all alike
    segment_s: float | None

    @property
    def identity(self) -> dict[str, Any]:
        """What its vocals depend on, as JSON has it; `weights` only where the bag has them."""
        files = {Path(path).name: digest for path, digest in self.files}
        about = {"model": self.name, "files": files, "segment_s": self.segment_s}
        return about if self.weights is None else about | {"weights": [list(row) for row in self.weights]}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How vocals are made; batch: windows at once, None: what fits the device."""

    model: Model
    device: str
    batch: int | None

    def waves(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[np.ndarray]:
        """float32 (sample,) at 16 kHz for each catalog row, in order."""
        separator = _separator(self.model, self.device, self.batch)
        for some in _at_once(rows):
            yield from separator.vocals([clip.read(row) for row in some])

    @property
    def identity(self) -> dict[str, Any]:
        """Whatever the samples depend on beside the source, as JSON has it: the row of table `variant`."""
        step = {"step": "vocals", "stage": "separation", **self.model.identity, "overlap": OVERLAP, "shifts": 0,
                "device": self.device.partition(":")[0]}  # fmt: skip
        names = ("demucs", "torch", "torchaudio")
        return {"steps": [step], "seed": None, "recordings": {},
                "versions": {name: importlib.metadata.version(name) for name in names}}  # fmt: skip


def _at_once(rows: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """The rows in order, as many together as are held at once; one that lasts longer than that alone."""
    some, seconds = [], 0.0
    for row in rows:
        if some and (len(some) == CLIPS_AT_ONCE or seconds + row["duration_s"] > SECONDS_AT_ONCE):
            yield some
            some, seconds = [], 0.0
        some.append(row)
        seconds += row["duration_s"]
    yield some


def write_vocals(
    corpus: str, data: Path, model: Model, *, device: str = "cpu", batch: int | None = None, audio_codec: str = "flac",
    max_bytes: int = writer.MAX_BYTES, jobs: parallel.Jobs | None = None,
) -> dict[str, int]:  # fmt: skip
    """Write the variant `vocals` of a corpus: every clip that is not published as a vocal stem already.

    Shards that are finished are not made again. Returns counts: shards, written, members, size_bytes.
    Raises DataError as writer.write_corpus does, and for weights that are not those of a Demucs model.
    """
    recipe = Recipe(model, device, batch)
    _separator(model, device, batch)  # what is wrong with the weights is said before anything is written
    with catalog.connect(data / "catalog.duckdb") as con:
        fingerprint, table = writer.corpus_fingerprint(con, corpus), writer.clips(con, corpus)
        there = root.has_table(con, "variant")
        query = "FROM variant WHERE corpus = ? AND variant = 'vocals'"
        known = con.execute(query, [corpus]).fetchone() if there else None
    taken = np.flatnonzero([condition != "vocals" for condition in table["condition"].to_pylist()])
    if not taken.size:
        raise DataError(f"{corpus}: all {table.num_rows} clips are published as vocals already; use them as they are")
    sizes = clip.at_most_bytes_made(clip.at_most_samples(table), table)
    planned = writer.planned(
        corpus, table, sizes, audio_codec=audio_codec, max_bytes=max_bytes, variant="vocals", recipe=recipe, taken=taken
    )
    row = catalog_row(corpus, "vocals", recipe.identity)
    return writer.write_plans(
        corpus, data, [planned], fingerprint, what=f"vocals {corpus}", jobs=jobs or 1, gpus=float(device != "cpu"),
        also=None if known == row else lambda con: record(con, corpus, ["vocals"], [row]),
    )  # fmt: skip


def find(name: str, weights: Path | None = None) -> Model:
    """The model of that name, from the folder `weights` or from a download cache; or the one in the folder `name`.

    A folder holds NAME.yaml (a bag, as Demucs writes it) and SIGNATURE.th, SIGNATURE-CHECKSUM.th or
    SIGNATURE.safetensors for each of its networks; or one such file alone. For a published name the yaml that comes
    with Demucs serves. Raises DataError that names what is absent, where it was looked for and how to supply it.
    """
    folder = Path(os.path.expanduser(name))
    if folder.is_dir():
        bags, files = sorted(folder.glob("*.yaml")), _network_files(folder)
        if len(bags) > 1 or (not bags and len(files) != 1):
            raise DataError(
                f"{folder} holds {len(bags)} .yaml and {len(files)} .th or .safetensors files; a model is one .yaml "
                "with its files, or one file alone (or pass --model NAME --weights DIR)"
            )
        name, weights = (bags[0].stem if bags else files[0].stem), folder
    if weights is not None and Path(weights).is_file():
        raise DataError(f"{weights} is a file; pass the folder that it lies in: --weights {Path(weights).parent}")
    bag = _bag(name, weights)
    files = [_file(name, signature, weights) for signature in bag["models"]]
    for file in files:
        _check_name(file)
    shares = bag.get("weights")
    return Model(
        name, tuple((str(file.absolute()), sha256(file)) for file in files),
        shares and tuple(tuple(map(float, row)) for row in shares), bag.get("segment"),
    )  # fmt: skip


def _bag(name: str, weights: Path | None) -> Mapping[str, Any]:
    import demucs
    import yaml

    published = Path(demucs.__file__).parent / "remote"
    for folder in (weights, published):
        if folder is not None and (Path(folder) / f"{name}.yaml").is_file():
            path = Path(folder) / f"{name}.yaml"
            try:
                return _checked_bag(path, yaml.safe_load(path.read_text(encoding="utf-8")))
            except (yaml.YAMLError, ValueError, RecursionError) as error:
                raise DataError(f"{path} is not a bag of Demucs ({_said(error)})") from None
    if weights is not None and any(_signature(file) == name or file.stem == name for file in _network_files(weights)):
        return {"models": [name]}
    known = [path.stem for path in published.glob("*.yaml")]
    if name in {line.split("-")[0] for line in (published / "files.txt").read_text().split()}:
        return {"models": [name]}
    raise nearest(name, known, what="Demucs model (or pass the folder of one)")


def _checked_bag(path: Path, bag: Any) -> Mapping[str, Any]:
    """The bag itself. Raises DataError if it is not what Demucs reads: signatures, a row of shares each, a length."""
    if not _is_bag(bag):
        raise DataError(f"{path} is not a bag of Demucs: it needs models, and may have weights of each and a segment")
    if bag.get("segment") is not None:
        _check_segment(path, bag["segment"])
    return bag


def _is_bag(bag: Any) -> bool:
    models = bag.get("models") if isinstance(bag, dict) else None
    if not (isinstance(models, list) and models and all(isinstance(word, str) for word in models)):
        return False
    shares, segment = bag.get("weights"), bag.get("segment")
    if shares is not None and not (isinstance(shares, list) and len(shares) == len(models)):
        return False
    rows = all(isinstance(row, list) and all(map(_number, row)) for row in shares or ())
    return rows and (segment is None or isinstance(segment, int | float))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e9


def _check_segment(path: Path, segment_s: Any) -> None:
    if not (isinstance(segment_s, int | float | Fraction) and 0.01 <= segment_s <= 3600):
        raise DataError(f"{path} asks for windows (segment) of {segment_s!s:.40} seconds, not of 0.01 to 3600")


def _network_files(folder: Path) -> list[Path]:
    here = Path(folder).iterdir() if Path(folder).is_dir() else ()
    return sorted(path for path in here if path.suffix in (".th", ".safetensors"))


def _signature(file: Path) -> str:
    return file.stem.split("-")[0]


def _file(name: str, signature: str, weights: Path | None) -> Path:
    """The file of one network. Raises DataError, with everything a user needs to put it there."""
    if weights is not None:
        found = [file for file in _network_files(weights) if signature in (_signature(file), file.stem)]
        if found:
            return found[-1]
        places = [str(weights)]
    else:
        cached, places = _cached(name, signature)
        if cached:
            return cached
    raise DataError(
        f"model {name} needs {signature}.safetensors or {_published_file(signature)}, which is not in "
        f"{' or '.join(places)}; nothing is downloaded: where there is a network, run "
        f"`hf download {_repository(name)} --local-dir DIR`, bring DIR here, and pass --weights DIR"
    )


def _cached(name: str, signature: str) -> tuple[Path | None, list[str]]:
    import torch
    from huggingface_hub import constants, try_to_load_from_cache

    hit = try_to_load_from_cache(_repository(name), f"{signature}.safetensors")
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    files = [Path(hit)] if isinstance(hit, str) else [f for f in _network_files(folder) if _signature(f) == signature]
    return (files[-1] if files else None), [constants.HF_HUB_CACHE, str(folder)]


def _repository(name: str) -> str:
    from demucs.hf import DEFAULT_NAMESPACE, hf_repo_name

    return f"{DEFAULT_NAMESPACE}/{hf_repo_name(name)}"


def _published_file(signature: str) -> str:
    import demucs

    lines = (Path(demucs.__file__).parent / "remote/files.txt").read_text().split()
    return next((line for line in lines if line.split("-")[0] == signature), f"{signature}.th")


def _check_name(file: Path) -> None:
    """Demucs writes the first digits of a file's sha256 into its name."""
    _, dash, digits = file.stem.partition("-")
    if dash and file.suffix == ".th" and len(digits) == 8 and not sha256(file).startswith(digits):
        raise DataError(f"{file} is damaged: its sha256 does not begin with {digits}, as its name says; copy it again")


def network(path: Path) -> Any:
    """The network in a file, in evaluation mode on the CPU. Raises DataError if it is none that Demucs knows.

    .th: torch.load with weights_only; beside tensors only Demucs' three network classes and Fraction may occur.
    .safetensors: the class is looked up by name among these three, never imported by what the file says.
    """
    import torch
    from demucs.states import load_model

    package = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    if not isinstance(package.get("state"), dict) or package["state"].get("__quantized"):
        raise DataError(f"{path} holds quantised weights; use a model without q in its name")
    try:
        taken = inspect.signature(package["klass"]).parameters
        kwargs = {key: value for key, value in package["kwargs"].items() if key in taken}
        model = load_model({**package, "kwargs": kwargs})
    except _MISFIT as error:
        raise DataError(f"{path} does not fit the network that it names ({_said(error)})") from None
    _check_segment(path, model.segment)
    if "vocals" not in model.sources:
        raise DataError(f"{path} separates {', '.join(model.sources)}, no vocals")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        if not torch.isfinite(parameter).all():
            raise DataError(f"{path} holds weights that are not finite numbers")
    return model.eval()


def _classes() -> dict[str, Any]:
    import importlib

    return {name: getattr(importlib.import_module(module), name) for name, module in CLASSES.items()}


# What is raised where a file's arguments are not those of its network.
_MISFIT = (RuntimeError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, AssertionError)
# What the restricted unpickler raises for a file that is damaged, or that asks for more than it may.
_DAMAGE = (
    pickle.UnpicklingError, struct.error, RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError,
    AttributeError, TypeError,
)  # fmt: skip


def _pickled(path: Path) -> dict[str, Any]:
    import torch

    refuse_packed(path)
    try:
        with torch.serialization.safe_globals([*_classes().values(), Fraction]):
            package = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        reason = str(error).split(". ")[0].split("\n")[0] or type(error).__name__
        raise DataError(f"{path} is no Demucs model that can be read safely ({reason})") from None
    if not isinstance(package, dict) or package.get("klass") not in _classes().values():
        raise DataError(f"{path} is not a file of Demucs: it names no network")
    return package


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            about = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} cannot be read ({error})") from None
    known = _classes()
    klass = about.get("klass", "").rpartition(".")[2]
    if klass not in known or "structure" in about:
        raise DataError(f"{path} names the network {klass or 'none'!r}, not one of {', '.join(known)} without packing")
    try:
        args, kwargs = (_decoded(json.loads(about.get(k, empty))) for k, empty in (("args", "[]"), ("kwargs", "{}")))
    except (ValueError, TypeError, KeyError, ZeroDivisionError, RecursionError) as error:
        raise DataError(f"{path} has metadata args or kwargs that are not Demucs' ({_said(error)})") from None
    return {"klass": known[klass], "args": args, "kwargs": kwargs, "state": state}


def _said(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _decoded(value: Any) -> Any:
    """JSON of Demucs' arguments: {"_type": "fraction", "numerator": 39, "denominator": 5} is 39/5."""
    if isinstance(value, dict):
        if value.get("_type") == "fraction":
            return Fraction(value["numerator"], value["denominator"])
        return {key: _decoded(item) for key, item in value.items()}
    return [_decoded(item) for item in value] if isinstance(value, list) else value


@functools.lru_cache(maxsize=1)
def _separator(model: Model, device: str, batch: int | None) -> "Separator":
    return Separator(model, device, batch)


class Separator:
    """The networks of a model on a device.

    Each clip is cut into windows as demucs.apply does without shifts, the windows of many clips make a batch, and
    what a clip becomes does not depend on the others in it.
    """

    def __init__(self, model: Model, device: str = "cpu", batch: int | None = None):
        import torch

        exact()
        self.model, self.batch = model, batch
        self.device = torch.device(device)
        self.networks = [network(Path(path)).to(self.device) for path, _ in model.files]
        for path, digest in model.files:
            if sha256(path) != digest:
                raise DataError(
                    f"{path} is another file than when this command began, or than on the node of the command; run it "
                    "again with the file that is meant"
                )
        first = self.networks[0]
        self.rate_hz, self.channels = first.samplerate, first.audio_channels
        if any((n.samplerate, n.audio_channels) != (self.rate_hz, self.channels) for n in self.networks):
            raise DataError(f"model {model.name}: its networks differ in rate or channels")
        self.shares = self._shares()

    def _shares(self) -> list[float]:
        """The weight of each network in the vocals."""
        if self.model.weights is None:
            return [1.0] * len(self.networks)
        for (path, _), row, net in zip(self.model.files, self.model.weights, self.networks, strict=True):
            if len(row) != len(net.sources):
                raise DataError(
                    f"{self.model.name}.yaml has {len(row)} weights for {Path(path).name}, which has "
                    f"{len(net.sources)} sources ({', '.join(net.sources)})"
                )
        shares = [row[n.sources.index("vocals")] for row, n in zip(self.model.weights, self.networks, strict=True)]
        if sum(shares) <= 0:
            raise DataError(f"{self.model.name}.yaml has weights of the vocals that add up to {sum(shares)}")
        return shares

    def vocals(self, clips: Sequence[tuple[np.ndarray, int]]) -> Iterator[np.ndarray]:
        """(float32 (channel, sample), rate in Hz) of each clip -> its vocals, float32 (sample,) at 16 kHz.

        As long as the clip at 16 kHz and as loud as the voice was in it; 16-bit steps, and no clipping where it
        overshoots full scale.
        """
        import torch

        mixes = [self._mix(wave, rate_hz) for wave, rate_hz in clips]
        scales = [(float(mix.mean()), float(mix.mean(0).std(correction=0)) or 1.0) for mix in mixes]
        stems = self._stems([(mix - mean) / (std + 1e-8) for mix, (mean, std) in zip(mixes, scales, strict=True)])
        for (wave, rate_hz), stem, (mean, std) in zip(clips, stems, scales, strict=True):
            mono = (stem * (std + 1e-8) + mean).mean(0).to("cpu", torch.float32).numpy()
            voice = audio.resampled(np.ascontiguousarray(mono), self.rate_hz)
            samples = -(-wave.shape[1] * RATE_HZ // rate_hz)
            yield variants.rounded(np.pad(voice, (0, max(0, samples - voice.size)))[:samples])

    def _mix(self, wave: np.ndarray, rate_hz: int) -> Any:
        """(channel, sample) at any rate -> a tensor (self.channels, sample) at self.rate_hz."""
        import torch

        if len(wave) != self.channels:
            wave = np.repeat(wave.mean(0, keepdims=True), self.channels, axis=0)
        return torch.from_numpy(np.stack([resampled(channel, rate_hz, self.rate_hz) for channel in wave]))

    def _stems(self, mixes: Sequence[Any]) -> list[Any]:
        """The vocals of each mix, (channel, sample), weighed over the networks."""
        sums: list[Any] = [0.0] * len(mixes)
        for net, share in zip(self.networks, self.shares, strict=True):
            for i, stem in enumerate(self._by_network(net, mixes) if share else ()):
                sums[i] = sums[i] + share / sum(self.shares) * stem
        return sums

    def _by_network(self, net: Any, mixes: Sequence[Any]) -> list[Any]:
        import torch
        from demucs.apply import TensorChunk
        from demucs.utils import center_trim

        segment = int(net.samplerate * float(self._segment_s(net)))
        stride = int((1 - OVERLAP) * segment)
        half = torch.arange(1, segment // 2 + 1)
        weight = torch.cat([half, torch.arange(segment - segment // 2, 0, -1)]).float()
        weight /= weight.max()
        out = [torch.zeros(mix.shape) for mix in mixes]
        summed = [torch.zeros(mix.shape[1]) for mix in mixes]
        windows: dict[int, list[tuple[int, int, TensorChunk]]] = {}  # padded length -> clip, offset, window
        for i, mix in enumerate(mixes):
            for offset in range(0, mix.shape[1], stride):
                chunk = TensorChunk(mix[None], offset, segment)
                padded = segment if self._fixed(net) else getattr(net, "valid_length", int)(chunk.length)
                windows.setdefault(padded, []).append((i, offset, chunk))
        for padded, group in windows.items():
            size = self._batch_size(net, padded, len(group))
            for start in range(0, len(group), size):
                some = group[start : start + size]
                x = torch.cat([chunk.padded(padded) for _, _, chunk in some]).to(self.device)
                with torch.inference_mode():
                    stems = net(x)[:, net.sources.index("vocals")].cpu()
                for (i, offset, chunk), stem in zip(some, stems, strict=True):
                    length = chunk.length
                    out[i][:, offset : offset + length] += weight[:length] * center_trim(stem, length)
                    summed[i][offset : offset + length] += weight[:length]
        return [stem / share for stem, share in zip(out, summed, strict=True)]

    def _segment_s(self, net: Any) -> float:
        own = float(net.segment)
        given = self.model.segment_s
        return own if given is None or (self._fixed(net) and given > own) else float(given)

    @staticmethod
    def _fixed(net: Any) -> bool:
        """Whether the network takes windows of one length only."""
        return type(net).__name__ == "HTDemucs"

    def _batch_size(self, net: Any, samples: int, windows: int) -> int:
        """How many windows go at once: on cuda, as many as the memory holds that one window leaves free."""
        import torch

        if self.batch or self.device.type != "cuda":
            return self.batch or BATCH_CPU
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        with torch.inference_mode():
            net(torch.zeros(1, self.channels, samples, device=self.device))
        one = max(1, torch.cuda.max_memory_allocated(self.device) - before)
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(self.device)
        return max(1, min(BATCH_CUDA, windows, int(0.7 * free / one)))
