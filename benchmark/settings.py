"""One run's settings, resolved: training.toml, then the detector's TRAINING, then what the user set."""

import json
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from benchmark import detectors
from benchmark.level import LEVELS
from ingest.types import DataError, nearest

_DEFAULTS = tomllib.loads(Path(__file__).with_name("training.toml").read_text())
INPUT_KEYS = ("samples", "train_crop", "test_crop", "short", "level")
_CROPS = ("random", "first", "middle")
_FILLS = ("repeat", "zero", "none")
_INPUT_WORDS = {
    "train_crop": _CROPS, "test_crop": _CROPS, "short": _FILLS, "train_short": (*_FILLS, "repeat_random"),
    "level": LEVELS,
}  # fmt: skip
_LONGEST = 3600 * 16_000  # samples in one piece: more is a slip, and no memory holds a batch of it
_WORDS = {
    "optimizer": ("adam", "adamw", "sgd"),
    "selection": ("auc", "eer", "accuracy", "loss"),
    "balance": ("protocol", "oversample", "classes", "none"),
    "precision": ("float32", "bfloat16", "float16", "half"),
}
_FROM_ONE = ("batch_size", "epochs", "accumulate")
_PHASE_ONLY = {"name": str, "trainable": list, "settings": Mapping, "mix": Mapping}  # beside the fields of Training
_WHOLE_TRAINING = ("phases", "balance", "drop_last", "swa")  # fields that no phase has of its own
# Schedules: what each needs, then what it may have; benchmark.train.learning_rate says what they mean.
_SCHEDULES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "constant": ((), ()),
    "cosine_per_step": ((), ("min_lr", "steps")),
    "cosine_per_epoch": (("period",), ("min_lr",)),
    "step": (("every", "factor"), ()),
    "warmup_linear": (("warmup",), ()),
}


@dataclass(frozen=True, slots=True)
class Training:
    """How a detector is trained; every field is explained in training.toml."""

    optimizer: str
    lr: float
    weight_decay: float
    batch_size: int
    epochs: int
    draws: int
    selection: str
    patience: int
    min_delta: float
    stop_above: float
    schedule: Any
    clip_norm: float
    accumulate: int
    drop_last: bool
    balance: str
    swa: bool
    precision: str
    phases: list


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides a run beside its protocol and seed: stored whole in run.config."""

    detector: str
    config: dict[str, Any]  # constructor arguments that differ from the defaults
    input: dict[str, Any]  # feature, params, samples, crops, as used
    training: Training
    weights: str | None  # sha256 of the file the training started from, or that is scored

    def as_json(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Settings":
        """The settings that a run recorded; DataError if another version wrote them, or they are damaged."""
        try:
            found = cls(**{**value, "training": Training(**value["training"])})
        except (TypeError, KeyError) as error:
            raise DataError(f"these settings are not of this version ({error}); check out the run's commit") from None
        if not (isinstance(found.detector, str) and isinstance(found.config, dict)):
            raise DataError(f"these settings are damaged: detector {found.detector!r}, config {found.config!r}")
        if not isinstance(found.weights, str | None):
            raise DataError(f"these settings are damaged: weights {found.weights!r}")
        check_input(found.detector, found.input)
        _typed(found.detector, asdict(found.training))
        return found


def parse(assignments: Iterable[str], known_detectors: Iterable[str]) -> dict[str, dict[str, Any]]:
    """["lr=1e-3", "lfcc_gmm.components=32"] -> {"": {"lr": 0.001}, "lfcc_gmm": {"components": 32}}.

    Values are JSON where they parse as JSON, words otherwise. Raises DataError on a malformed assignment, a key that
    is given twice, or an unknown detector in front of the dot.
    """
    parsed: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise DataError(f"--set {assignment!r} is not key=value, e.g. --set lr=3e-4")
        scope, _, name = key.strip().rpartition(".")
        if scope and scope not in set(known_detectors):
            raise nearest(scope, known_detectors, what="detector in --set")
        try:
            value = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            value = text
        if name in parsed.setdefault(scope, {}):
            raise DataError(f"--set gives {key.strip()} twice; which of the two is meant?")
        parsed[scope][name] = value
    return parsed


def resolve(
    name: str, assignments: Mapping[str, Mapping[str, Any]], *, clip: int | None, weights: str | None
) -> Settings:
    """Settings of detector `name`; `clip` is the protocol's clip length in samples, None where it fixes none.

    Raises DataError for an unknown detector, key, or a value of the wrong kind, with the nearest known names.
    """
    chosen = {**assignments.get("", {}), **assignments.get(name, {})}
    own = detectors.settings(name)
    known = {f.name for f in fields(Training)} | set(INPUT_KEYS) | set(own)
    for key in chosen:
        if key not in known:
            raise nearest(key, known, what=f"setting of {name}")
    _check_words(name, chosen)
    config = detectors.canonical(name, {key: value for key, value in chosen.items() if key in own})
    laid_out = _lay_out(name, config, own)
    if clip is not None and not laid_out.input.fixed and "samples" not in chosen:
        chosen = {"samples": clip, "train_crop": "random", "test_crop": "middle", "short": "repeat", **chosen}
        if "samples" in own:
            config["samples"] = clip
            laid_out = _lay_out(name, config, own)
    spec = replace(laid_out.input, **{key: chosen[key] for key in INPUT_KEYS if key in chosen})
    check_input(name, asdict(spec))  # a detector's own words are none of --set's: "tile" was padded with zeros
    if "samples" in chosen and spec.samples != type(laid_out).INPUT.samples:
        _check_length(name, laid_out, spec)
    wanted = {key: value for key, value in chosen.items() if key in _DEFAULTS}
    training = {**_DEFAULTS, **laid_out.TRAINING, **wanted}
    if "phases" not in wanted:  # what the user sets holds in every phase of the recipe
        training["phases"] = [{k: v for k, v in phase.items() if k not in wanted} for phase in training["phases"]]
    found = _typed(name, training)
    _check_names(name, found.phases, laid_out)
    return Settings(name, config, asdict(spec), found, weights)


def _check_names(name: str, phases: Iterable[Mapping[str, Any]], laid_out: Any) -> None:
    """Raise DataError for a phase that names parameters, attributes or columns that are not there, or gives a word for
    true or for a number: it would train other parameters than it says, or with other values."""
    from benchmark.loader import EXTRA

    parameters, attributes = [key for key, _ in laid_out.named_parameters()], dir(laid_out)
    for number, phase in enumerate(phases, start=1):
        what = f"in phase {number} of {name}"
        for prefix in phase.get("trainable", []):
            if not any(key.startswith(prefix) for key in parameters):
                raise nearest(
                    prefix, {key.split(".")[0] + "." for key in parameters}, what=f"start of parameters {what}"
                )
        for key, value in phase.get("settings", {}).items():
            if key not in attributes:
                raise nearest(key, (a for a in attributes if not a.startswith("_")), what=f"attribute {what}")
            own = vars(laid_out).get(key)
            if own is not None and any(isinstance(own, kind) != isinstance(value, kind) for kind in (bool, str)):
                raise DataError(f"{what}: {key} = {value!r} is not of the kind of {own!r}")
        for column in phase.get("mix", {}):
            if column not in EXTRA:
                raise nearest(column, EXTRA, what=f"column of mix {what}")


def _check_words(name: str, chosen: Mapping[str, Any]) -> None:
    """Raise DataError for a length that is none, and for a word that is no crop and no way to fill."""
    for key in ("samples", "train_samples"):
        number = chosen.get(key)
        if number is not None and not (type(number) is int and 0 < number <= _LONGEST):
            raise DataError(
                f"{name}: {key} = {number!r} is not a number of samples from 1 on, to an hour, or null for whole clips"
            )
    for key, words in _INPUT_WORDS.items():
        if key in chosen and chosen[key] not in words:
            raise nearest(str(chosen[key]), words, what=f"{key} of {name}")


def check_input(name: str, spec: Any) -> None:
    """Raise DataError unless this is a recorded input that the loader takes; keys for training may be absent."""
    if not isinstance(spec, Mapping):
        raise DataError(f"{name}: its input is {spec!r}, not a table")
    for key in ("feature", "params", "samples", "test_crop", "short"):
        if key not in spec:
            raise DataError(f"{name}: its input has no {key!r}")
    if "level" not in spec and detectors.get(name).INPUT.level != "as_is":
        raise DataError(
            f"{name}: its input has no 'level'; this version takes it there, not in the network: train it again"
        )
    _check_words(name, {key: value for key, value in spec.items() if (key, value) != ("train_short", None)})
    for key, kind in {"feature": str, "params": Mapping, "windows": bool, "fixed": bool}.items():
        if not isinstance(spec.get(key, False), kind):
            raise DataError(f"{name}: its input's {key} is {spec[key]!r}, not a {kind.__name__}")


def _lay_out(name: str, config: Mapping[str, Any], own: Mapping[str, Any]) -> Any:
    """The detector without its weights in memory: what input and recipe this configuration has."""
    import torch

    offline = {key: value for key, value in detectors.get(name).OFFLINE.items() if key not in config}
    classes = {"attacks": ["a", "b"]} if "attacks" in own and "attacks" not in config else {}
    with torch.device("meta"):
        return detectors.build(name, **offline, **classes, **config)


def _check_length(name: str, network: Any, spec: Any) -> None:
    """Raise DataError for a clip length that the network cannot take.

    network: laid out without numbers, so that shapes alone are looked at; a small one where its front end needs some.
    """
    own = type(network).INPUT.samples
    if spec.samples is None or own is None:
        return
    for form in (lambda: network.to("meta"), lambda: _small(name)):
        made = form().eval()
        reason = _refusal(made, spec, spec.samples)
        if reason is None:
            return
        if _refusal(made, spec, own) is None:  # else it is built for one length alone, or has no numbers to hear with
            raise DataError(f"{name} cannot hear clips of {spec.samples} samples ({reason}); its own are of {own}")


def _small(name: str) -> Any:
    import torch

    cls = detectors.get(name)
    with torch.random.fork_rng(devices=[]):
        return detectors.build(name, **{**cls.OFFLINE, **cls.SMALL})


def _refusal(network: Any, spec: Any, samples: int) -> str | None:
    """What the network says of a clip of so many samples; None: nothing."""
    import torch

    from features import extractors

    x = extractors.get(spec.feature, **spec.params).extract(torch.zeros(1, samples))
    try:
        with torch.no_grad():
            network.score(x.to(next(network.parameters(), x).device))
    except (RuntimeError, ValueError, IndexError) as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return None


def _typed(name: str, values: Mapping[str, Any]) -> Training:
    known = [f.name for f in fields(Training)]
    for key in values:
        if key not in known:
            raise nearest(key, known, what=f"training key of {name}")
    for key in known:
        _check(name, key, values[key])
    for number, phase in enumerate(values["phases"], start=1):
        _check_phase(f"phase {number} of {name}", phase, known)
    return Training(**{**_as_floats(values), "phases": [_as_floats(phase) for phase in values["phases"]]})


def _as_floats(values: Mapping[str, Any]) -> dict[str, Any]:
    """lr=1 is lr=1.0: the same settings must not be two runs."""
    return {key: float(v) if isinstance(_DEFAULTS.get(key), float) else v for key, v in values.items()}


def _check(name: str, key: str, value: Any) -> None:
    """Raise DataError unless the value is of the kind, and among the words, that training.toml says."""
    default = _DEFAULTS[key]
    if key == "schedule":
        _check_schedule(name, value)
        return
    if isinstance(default, bool):
        ok = isinstance(value, bool)
    elif isinstance(default, float):
        ok = _is_number(value)
    elif isinstance(default, int):
        ok = type(value) is int and value >= (key in _FROM_ONE)
    else:
        ok = isinstance(value, type(default))
    if not ok:
        raise DataError(f"{name}: {key} = {value!r} is not {_kind(key, default)}; see benchmark/training.toml")
    if key in _WORDS and value not in _WORDS[key]:
        raise nearest(str(value), _WORDS[key], what=f"{key} of {name}")


def _kind(key: str, default: Any) -> str:
    """What a training setting takes, in words."""
    if type(default) is int:
        return f"a whole number from {int(key in _FROM_ONE)} on"
    return {bool: "true or false", float: "a number from 0 on", str: "a word", list: "a list"}[type(default)]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= sys.float_info.max


def _check_schedule(name: str, value: Any) -> None:
    table = {"name": value} if isinstance(value, str) else value
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        raise DataError(
            f"{name}: schedule = {value!r} is neither a name nor a table with one; see benchmark/training.toml"
        )
    if table["name"] not in _SCHEDULES:
        raise nearest(table["name"], _SCHEDULES, what=f"schedule of {name}")
    needed, more = _SCHEDULES[table["name"]]
    for key, number in table.items():
        if key not in ("name", *needed, *more):
            raise nearest(key, (*needed, *more), what=f"key in schedule {table['name']} of {name}")
        least = int(key in ("every", "period", "steps"))
        if key != "name" and not (_is_number(number) and number >= least):
            raise DataError(f"{name}: {key} = {number!r} of schedule {table['name']} is not a number from {least} on")
    for key in needed:
        if key not in table:
            raise DataError(f"{name}: schedule {table['name']} has no {key}; see benchmark/training.toml")


def _check_phase(what: str, phase: Any, known: Iterable[str]) -> None:
    """A key that the training loop does not read must not pass for one that it does."""
    if not isinstance(phase, Mapping):
        raise DataError(f"{what} = {phase!r} is not a table; see benchmark/training.toml")
    known = {*known, *_PHASE_ONLY} - {*_WHOLE_TRAINING}
    for key, value in phase.items():
        if key not in known:
            raise nearest(key, known, what=f"key in {what}")
        if key not in _PHASE_ONLY:
            _check(what, key, value)
        elif not isinstance(value, _PHASE_ONLY[key]):
            raise DataError(f"{what}: {key} = {value!r} is not a {_PHASE_ONLY[key].__name__}")
    if not all(isinstance(prefix, str) for prefix in phase.get("trainable", [])):
        raise DataError(f"{what}: trainable = {phase['trainable']!r} is not a list of names")
    for column, shares in phase.get("mix", {}).items():
        if not (isinstance(shares, Mapping) and shares and all(map(_is_number, shares.values()))):
            raise DataError(f"{what}: mix of {column} = {shares!r} is not a table of shares")
    for key, value in phase.get("settings", {}).items():
        if isinstance(value, Mapping) and not _is_course(value):
            raise DataError(
                f"{what}: {key} = {value!r} is not a table of two numbers, from and one of to, before, before_step"
            )


def _is_course(value: Mapping[str, Any]) -> bool:
    return set(value) in ({"from", "to"}, {"from", "before"}, {"from", "before_step"}) and all(
        type(end) in (int, float) for end in value.values()
    )
