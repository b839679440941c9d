"""A detector ready to be used: weights, input, and what is known of its training; from a run, a file or an export."""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

import protocols
from benchmark import calibration as calibrations
from benchmark import domain as domains
from benchmark import finished, recorded
from benchmark.calibration import Calibration
from benchmark.domain import Domain
from benchmark.results import read_scores
from ingest import catalog
from ingest.files import inside, sha256
from ingest.types import DataError

FORMAT = 1  # of an export's settings.json
SETTINGS, WEIGHTS = "settings.json", "model.safetensors"
UNCALIBRATED = "not calibrated: these weights come without dev scores; pass --calibrate-on RUN or scores.parquet"
BESIDE = "beside clips of the same speakers, which a single file does not have"
HEARD = ("feature", "params", "samples", "test_crop", "short", "level")  # of an input: what decides on a score
UNKNOWN_TRAINING = "what it was trained on is not known here: no warning about the training domain"
VOICES = "trained on singing voices without accompaniment: hear a song with --vocals"
PROVENANCE = (
    "run_id", "protocol", "scenario", "title", "seed", "trained", "train_key", "train_fingerprint",
    "trials_fingerprint", "code_version", "catalog_version", "git_commit", "git_dirty", "versions", "simulated",
    "partial", "missing_trials", "best_epoch", "epochs", "backbone_sha256",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trained:
    """network: the module in evaluation mode. config: constructor arguments; input: feature, params, samples, crops.

    calibration and domain are None where nothing is known; remarks say why, in words.
    """

    detector: str
    network: Any
    config: dict[str, Any]
    input: dict[str, Any]
    calibration: Calibration | None
    domain: Domain | None
    provenance: dict[str, Any]
    remarks: tuple[str, ...] = ()

    @property
    def level(self) -> str:
        """The level (benchmark.level) at which it hears; what was recorded before there were any is heard as stored."""
        return self.input.get("level", "as_is")


def run_folder(data: Path, run: str | Path) -> Path:
    """The folder of a finished run, by its id below DATA/scores or by its path, which the user may name."""
    if str(run) and os.path.isfile(os.path.join(run, finished.RUN)):
        return Path(run).resolve()
    return finished.folder(data, str(run))


def newest_run(data: Path, detector: str) -> str:
    """The one finished trained run of a detector below DATA; DataError naming them if there are several or none."""
    from benchmark import detectors

    detectors.get(detector)  # an unknown word
    found = []
    for path in sorted((data / "scores").glob("*/run.json")):
        about = recorded.run(path.parent)
        own = about.get("trained", True) and not about.get("external") and about.get("scenario") != finished.ROBUSTNESS
        if about.get("detector") == detector and own:
            found.append(path.parent.name)
    if len(found) == 1:
        return found[0]
    if not found:
        raise DataError(f"{data} holds no trained run of {detector}; pass --weights FILE, or train it: benchmark run")
    raise DataError(f"{data} holds {len(found)} runs of {detector}: pass one as --run (first: {found[0]})")


def runs(data: Path) -> list[str]:
    """The finished runs below DATA that trained a network which is still there, sorted; DataError if there are none."""
    found = []
    for path in sorted((data / "scores").glob("*/run.json")):
        about = recorded.run(path.parent)
        own = not about.get("external") and about.get("scenario") != finished.ROBUSTNESS
        if about.get("trained") and own and about.get("train_key"):
            found += [path.parent.name] if (inside(data / "models", about["train_key"]) / WEIGHTS).is_file() else []
    if not found:
        raise DataError(f"{data} holds no trained run; name a detector (--run, --model, --weights), or train one")
    return found


def from_run(data: Path, run: str | Path, *, weights: Path | None = None, lists: Path | None = None) -> Trained:
    """The detector of a finished run, calibrated on its dev scores.

    weights: the file that was scored, for a run made by `benchmark score`; of any other run it has to be its own.
    lists: folder of the user's trial lists that the run was made with (default: DATA/lists). Raises DataError for an
    unknown run, one without a network (a shortcut probe, external scores), or absent or different weights.
    """
    folder = run_folder(data, run)
    about = recorded.run(folder)
    settings = about.get("config") or {}
    if about.get("external") or "input" not in settings:
        raise DataError(f"{folder.name} has scores but no detector that could hear a file; choose a run of a detector")
    recorded.need(folder, about, ("detector", "protocol", "trained", "train_fingerprint"))
    recorded.need(folder, about, ("train_key",) if about["trained"] else ())
    made = folder.parents[1]  # models and scores can lie elsewhere than the catalog
    training = _Training(made if (made / "catalog.duckdb").exists() else data, folder, about, lists)
    config, attacks = _config(folder / finished.RUN, about, training)
    path = _run_weights(made, about, weights)
    if about["trained"]:
        network, config = _built(folder / finished.RUN, about["detector"], config, attacks)
        load_own(network, path)
    else:
        network, config, _ = scorer(about["detector"], config, attacks, path)
    _check_feature(folder / finished.RUN, network, settings["input"])
    calibration, remarks = on_dev(folder / "scores.parquet", source=folder.name)
    if network.REFERENCE and _compared(folder, about, data):
        calibration, remarks = None, (f"not calibrated: dev of {folder.name} was scored {BESIDE}",)
    domain, corpora, why = training.told() if about["trained"] else (None, [], (UNKNOWN_TRAINING,))
    provenance = {name: about.get(name) for name in PROVENANCE} | {"weights_sha256": sha256(path), "corpora": corpora}
    provenance["started_from"] = settings.get("weights") if about["trained"] else None
    return Trained(
        about["detector"], network.eval(), config, settings["input"], calibration, domain, provenance, (*remarks, *why)
    )


def from_weights(path: Path, detector: str, assignments: Mapping[str, Mapping[str, Any]] | None = None) -> Trained:
    """A published or own weight file with the detector's own settings: raw scores, no calibration."""
    from benchmark import detectors, settings

    how = settings.resolve(detector, assignments or {}, clip=None, weights=None)
    network = detectors.build(detector, **{**detectors.get(detector).OFFLINE, **how.config})
    network.load_weights(path).whole(path)
    provenance = {"weights": Path(path).name, "weights_sha256": sha256(path), "trained": False}
    remarks = (UNCALIBRATED, UNKNOWN_TRAINING)
    return Trained(detector, network.eval(), how.config, how.input, None, None, provenance, remarks)


def from_export(folder: Path) -> Trained:
    """A folder that `python -m benchmark export` wrote. Raises DataError if it is damaged or of a newer format."""
    stored = recorded.read(folder / SETTINGS, again="export the run again")
    try:
        return _exported(folder, stored)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{folder / SETTINGS} is damaged ({reason}); export the run again") from None


def _exported(folder: Path, stored: Mapping[str, Any]) -> Trained:
    from benchmark import detectors, settings

    version = stored.get("format")
    if not isinstance(version, int) or version > FORMAT:
        raise DataError(f"{folder / SETTINGS} has format {version!r}, this code reads up to {FORMAT}; update Siren")
    path = folder / WEIGHTS
    if not path.is_file():
        raise DataError(f"{path} is missing; export the run again")
    if sha256(path) != stored["files"][WEIGHTS]:
        raise DataError(f"{path} is not the file that was exported (its sha256 differs); export the run again")
    network = detectors.build(stored["detector"], **{**detectors.get(stored["detector"]).OFFLINE, **stored["config"]})
    load_own(network, path)
    calibration, domain = calibrations.from_json(stored["calibration"]), domains.from_json(stored["domain"])
    spec, remarks = stored["input"], tuple(stored["remarks"])
    settings.check_input(stored["detector"], spec)
    _check_feature(folder / SETTINGS, network, spec)
    if not (isinstance(stored["provenance"], dict) and recorded.WORDS.holds(stored["remarks"])):
        raise ValueError("provenance or remarks of another kind")
    return Trained(
        stored["detector"], network.eval(), stored["config"], spec, calibration, domain, stored["provenance"], remarks
    )


def other_sources(trained: Trained) -> tuple[str, ...]:
    """A remark where a run was scored by other sources of this detector than those at hand."""
    from benchmark import cells

    then = trained.provenance.get("code_version")
    now = cells.code_version(trained.detector, trained.input["feature"])
    if then in (None, now):
        return ()
    return (
        f"scored by other sources ({then}, here {now}): check that its scores are the same here: benchmark reproduce",
    )


def recalibrated(trained: Trained, on: str | Path, data: Path) -> Trained:
    """The same detector, calibrated on the dev scores of another run or score file.

    Raises DataError if that run scored another detector, other weights, clips cut otherwise or beside references, or
    has no dev scores.
    """
    path = Path(on)
    if not path.is_file():
        folder = run_folder(data, on)
        _check_same(trained, recorded.run(folder), folder, data)
        path = folder / "scores.parquet"
    elif (path.parent / "run.json").is_file():
        _check_same(trained, recorded.run(path.parent), path.resolve().parent, data)
    source = path.parent.name if path.name == "scores.parquet" and path.parent.name else path.name
    calibration, why = on_dev(path, source=source)
    if calibration is None:
        raise DataError("; ".join(why))
    kept = tuple(text for text in trained.remarks if not text.startswith("not calibrated"))
    return replace(trained, calibration=calibration, remarks=kept)


def on_dev(path: Path, *, source: str) -> tuple[Calibration | None, tuple[str, ...]]:
    """Calibration on the dev rows of a score file, or None and why not."""
    table = read_scores(path)
    dev = table.filter(pc.equal(table["role"].cast(pa.string()), "dev"))
    label, score = dev["label"].cast(pa.string()).to_numpy(), dev["score"].to_numpy()
    if not dev.num_rows:
        return None, (f"not calibrated: {source} has no dev scores",)
    try:
        return calibrations.fit(score[label == "bonafide"], score[label == "spoof"], source=f"dev of {source}"), ()
    except DataError as error:
        return None, (f"not calibrated: {error}",)


def _check_same(trained: Trained, about: Mapping[str, Any], folder: Path, data: Path) -> None:
    run = folder.name
    if about.get("detector") != trained.detector:
        raise DataError(f"{run} scored {about.get('detector')}, not {trained.detector}: it calibrates nothing here")
    ours = trained.provenance.get("weights_sha256")
    if not about.get("trained"):
        same = (about.get("config") or {}).get("weights") == ours
    elif about.get("run_id") == trained.provenance.get("run_id"):
        same = True
    else:
        key = about.get("train_key")
        same = isinstance(key, str) and (key == trained.provenance.get("train_key") or _made(folder, key) == ours)
    if not same:
        raise DataError(f"{run} scored {trained.detector} with other weights: its scores calibrate nothing here")
    theirs = (about.get("config") or {}).get("input")
    for key in HEARD if isinstance(theirs, Mapping) else ():
        one, other = (spec.get(key, "as_is" if key == "level" else None) for spec in (theirs, trained.input))
        if json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True):
            raise DataError(
                f"{run} scored clips with {key} = {one}, here it is {other}: its scores calibrate nothing here"
            )
    if trained.network.REFERENCE and _compared(folder, about, data):
        raise DataError(f"{run} scored dev {BESIDE}: its scores calibrate nothing here")


def _made(folder: Path, key: str) -> str | None:
    """The sha256 of the weights that the run in this folder was scored with, if they are still beside it."""
    path = inside(folder.parent.parent / "models", key) / WEIGHTS
    return sha256(path) if path.is_file() else None


def _protocol(folder: Path, about: Mapping[str, Any]) -> str:
    """The protocol that was trained on. A robustness run trained nothing: its name holds that of the run that did.

    Raises DataError if that run is gone.
    """
    if about.get("scenario") != finished.ROBUSTNESS:
        return about["protocol"]
    run = folder.name.removeprefix(f"{finished.ROBUSTNESS}-").rpartition("-")[0]
    return recorded.run(finished.folder(folder.parents[1], run), needed=("protocol",))["protocol"]


def _compared(folder: Path, about: Mapping[str, Any], data: Path) -> bool:
    """Whether the dev trials of a run have references; also where its protocol is not known here."""
    try:
        protocol = protocols.load(_protocol(folder, about), protocols.own(folder.parents[1]) or protocols.own(data))
    except DataError:
        return True
    return protocol.dev.reference is not None and protocol.dev.reference.mode != "zero"


class _Training:
    """What the catalog beside a run says of its training trials; read when first asked for."""

    def __init__(self, data: Path, folder: Path, about: Mapping[str, Any], lists: Path | None):
        self.data, self.folder, self.about, self.lists = data, folder, about, lists
        self._rows, self._told = None, None

    def rows(self) -> pa.Table:
        """The train trials. Raises DataError if the catalog is no longer the one the run was made from."""
        if self._rows is None:
            from benchmark import cells

            with catalog.connect(self.data / "catalog.duckdb") as con:
                on = cells.trials(con, _protocol(self.folder, self.about), partial=True, lists=self.lists)
                if on.train_fingerprint != self.about["train_fingerprint"]:
                    raise DataError(
                        f"the catalog in {self.data}, the protocol or the code has changed since "
                        f"{self.about['run_id']} was trained: other train and dev trials, or compared in another way; "
                        "run the cell again"
                    )
                self._rows = on.role("train")
                remarks = (VOICES,) if _of_voices(con, self._rows) else ()
                self._told = domains.of_training(con, self._rows), _licences(con, self._rows), remarks
        return self._rows

    def attacks(self) -> list[str]:
        """The attack words of the training trials, sorted: the classes of detectors that name them."""
        return sorted(set(pc.drop_null(self.rows()["attack"]).to_pylist()))

    def told(self) -> tuple[Domain | None, list[dict[str, Any]], tuple[str, ...]]:
        """How the training utterances sounded, their corpora with licences, and remarks: why neither is known, or how
        songs were heard."""
        try:
            self.rows()
        except DataError as error:
            return None, [], (f"{UNKNOWN_TRAINING} ({error})",)
        return self._told


def _of_voices(con: Any, rows: pa.Table) -> bool:
    """Whether there was singing in training, and all of it as vocals: a copy, or published so."""
    with catalog.registered(con, "training_rows", rows):
        return con.sql(
            "SELECT count(*) > 0 AND bool_and(t.variant = 'vocals' OR u.condition IS NOT DISTINCT FROM 'vocals') "
            "FROM training_rows t JOIN utterance u USING (utt_id) WHERE u.domain = 'singing'"
        ).fetchone()[0]


def _licences(con: Any, rows: pa.Table) -> list[dict[str, Any]]:
    with catalog.registered(con, "training_rows", rows):
        table = con.sql(
            "SELECT c.corpus, c.title, c.licence, c.citation, c.simulated, "
            "count(*) FILTER (t.label = 'bonafide') AS bonafide, count(*) FILTER (t.label = 'spoof') AS spoof, "
            "list_sort(list(DISTINCT t.attack) FILTER (t.attack IS NOT NULL)) AS attacks "
            "FROM training_rows t JOIN corpus c USING (corpus) GROUP BY ALL ORDER BY c.corpus"
        ).to_arrow_table()
    return table.to_pylist()


def _config(path: Path, about: Mapping[str, Any], training: _Training) -> tuple[dict[str, Any], list[str]]:
    """The constructor arguments of a run that differ from the defaults, and the attacks that it took from its training
    trials: none where the detector names none, or its settings do.

    about: the record that was read from `path`. Raises DataError naming it for settings that make no network.
    """
    from benchmark import detectors, settings

    detector, config = about["detector"], about["config"].get("config")
    if not isinstance(config, dict):
        raise DataError(f"{path}: its config has no table of settings of {detector}; run the cell again")
    config = dict(config)
    try:
        own = detectors.settings(detector)
        settings.check_input(detector, about["config"]["input"])
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    if "seed" in own:
        config.setdefault("seed", about.get("seed"))
    return config, training.attacks() if "attacks" in own and "attacks" not in config else []


def _built(path: Path, detector: str, config: dict[str, Any], attacks: list[str]) -> tuple[Any, dict[str, Any]]:
    """The network of a run without its weights, and every constructor argument that differs from the defaults."""
    from benchmark import detectors

    config = {**config, **({"attacks": attacks} if attacks else {})}
    try:
        return detectors.build(detector, **{**detectors.get(detector).OFFLINE, **config}), config
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _check_feature(path: Path, network: Any, spec: Mapping[str, Any]) -> None:
    """Raise DataError naming the record if it has another feature than the one that the network was made for."""
    from features import extractors

    own = network.input
    if (spec["feature"], spec["params"]) == (own.feature, own.params):
        return
    try:
        one = extractors.get(own.feature, **own.params)
        other = extractors.get(spec["feature"], **spec["params"])
        same = (one.name, one.params) == (other.name, other.params)
    except (DataError, TypeError) as error:
        raise DataError(f"{path}: its input is damaged ({error})") from None
    if not same:
        raise DataError(
            f"{path}: its input is {other.name} of {other.params}, the network's is {one.name} of {one.params}"
        )


def scorer(
    detector: str, config: Mapping[str, Any], attacks: Sequence[str], path: Path
) -> tuple[Any, dict[str, Any], Any]:
    """A detector with the weights of a file, to score with: the network, its settings, and what was loaded.

    attacks: of the training trials. They are the classes of a detector that names them where the file has as many, else
    its own are: no score hangs on them, and a published file is asked for a score on trials of any attacks. Raises
    DataError if the file fits neither.
    """
    from benchmark import detectors

    def loaded(whole: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        network = detectors.build(detector, **{**detectors.get(detector).OFFLINE, **whole})
        return network, whole, network.load_weights(path)

    if attacks and "attacks" in detectors.settings(detector) and "attacks" not in config:
        with contextlib.suppress(DataError):
            return loaded({**config, "attacks": list(attacks)})
    return loaded(dict(config))


def _run_weights(data: Path, about: Mapping[str, Any], given: Path | None) -> Path:
    if given is not None and not given.is_file():
        raise DataError(f"--weights {given} is not a file")
    if about["trained"]:
        path = inside(data / "models", about["train_key"]) / WEIGHTS
        if not path.is_file():
            raise DataError(f"{path} is missing: the weights of {about['run_id']} were removed; run the cell again")
        if given is not None and sha256(given) != sha256(path):
            raise DataError(f"--weights {given} is not what {about['run_id']} trained; leave one of the two out")
        return path
    if given is None:
        raise DataError(f"{about['run_id']} scored a weight file that is not kept: pass the same file as --weights")
    if sha256(given) != about["config"]["weights"]:
        raise DataError(f"--weights {given} is not the file that {about['run_id']} scored (its sha256 differs)")
    return given


def load_own(network: Any, path: Path) -> None:
    """Give a network the weights that were kept of it. DataError if the file is damaged, or of another one."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        network.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError, OSError, KeyError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{path} does not fit {type(network).__name__}: {lines[-1].strip()}") from None
