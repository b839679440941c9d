"""A run as a folder of its own: weights, settings, card; `detect --model FOLDER` needs nothing else but this code.

The same run gives the same bytes: nothing in the folder depends on when or where it was written.
"""

import json
import shlex
from pathlib import Path
from typing import Any

from benchmark import card, detectors, recorded
from benchmark import trained as loading
from benchmark.trained import Trained
from ingest.files import atomic, lock, sha256
from ingest.types import DataError

ONNX = "model.onnx"
OWN = tuple(start + name for name in (loading.WEIGHTS, ONNX, "README.md", loading.SETTINGS) for start in ("", "."))
ONNX_TOLERANCE = 1e-4  # of a score, against PyTorch; float32 sums in another order


def export(
    data: Path, run: str, to: Path, *, weights: Path | None = None, lists: Path | None = None, onnx: bool = False
) -> list[str]:
    """Write the folder `to`; returns what was done, one line each. weights, lists: as `trained.from_run` takes them.

    Raises DataError for an unknown run, absent weights, a backbone of a size of its own, a folder that holds something
    else, or with onnx=True without the extra `onnx`; the folder is then as it was. With onnx=True a network
    that ONNX cannot express, or whose scores differ there, is a line, not an error, and no model.onnx is left.
    """
    with lock(to.absolute().with_name(f".{to.name}.lock"), keep=False):
        return _export(data, run, to, weights, lists, onnx)


def _export(data: Path, run: str, to: Path, weights: Path | None, lists: Path | None, onnx: bool) -> list[str]:
    if to.exists() and not (to.is_dir() and _is_ours(to)):
        raise DataError(f"--to {to} holds something else; name a new or empty folder")
    if onnx:
        from benchmark import onnx_model

        onnx_model.need_packages()  # before what lies in the folder is touched
    trained = loading.from_run(data, run, weights=weights, lists=lists)
    _need_own_size(trained)
    text = card.model(loading.run_folder(data, run).parents[1], trained)
    path = to / loading.WEIGHTS
    _save(trained.network, path)
    files = {loading.WEIGHTS: sha256(path)}
    lines = [f"{path}: {trained.detector}, {trained.network.parameter_count:,} parameters"]
    (to / ONNX).unlink(missing_ok=True)
    if onnx:
        lines.append(_onnx(trained, to / ONNX))
        if (to / ONNX).is_file():
            files[ONNX] = sha256(to / ONNX)
    with atomic(to / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    with atomic(to / loading.SETTINGS) as temporary:  # last: it says that the folder is whole
        temporary.write_text(json.dumps(settings(trained, files), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    loading.from_export(to)  # what does not load here will not load anywhere
    return [*lines, f"{to}: python -m benchmark detect FILE --model {shlex.quote(str(to))}"]


def _is_ours(to: Path) -> bool:
    """Whether a folder is empty, an export, or what a killed export left: weights, then what says that it is whole."""
    names = {path.name for path in to.iterdir()}
    begun = all(name.startswith(OWN) for name in names) and ("README.md" not in names or loading.WEIGHTS in names)
    return begun or _is_whole(to / loading.SETTINGS)


def _is_whole(path: Path) -> bool:
    """Whether this is an export's settings.json: editors keep files of this name, too."""
    try:
        return loading.WEIGHTS in recorded.read(path).get("files", {})
    except (DataError, TypeError):
        return False


def settings(trained: Trained, files: dict[str, str]) -> dict[str, Any]:
    """The content of settings.json: all that loading and judging need beside the weights. files: name -> sha256."""
    return {
        "format": loading.FORMAT,
        "detector": trained.detector,
        "config": _config(trained),
        "input": trained.input,
        "calibration": None if trained.calibration is None else trained.calibration.as_json(),
        "domain": None if trained.domain is None else trained.domain.as_json(),
        "provenance": trained.provenance,
        "remarks": list(trained.remarks),
        "files": files,
    }


def _config(trained: Trained) -> dict[str, Any]:
    """The settings of the network without the files that its training began from: their weights are in the export."""
    offline = detectors.get(trained.detector).OFFLINE
    return {**trained.config, **{key: value for key, value in offline.items() if key in trained.config}}


def _need_own_size(trained: Trained) -> None:
    """Raise DataError if the network took its size from a folder of a backbone, which an export does not bring."""
    import torch

    with torch.device("meta"):
        own = detectors.build(trained.detector, **{**detectors.get(trained.detector).OFFLINE, **_config(trained)})
    try:
        own.load_state_dict(trained.network.state_dict(), assign=True)
    except RuntimeError:
        raise DataError(
            f"{trained.provenance['run_id']} cannot be exported: the backbone in {trained.config.get('weights')} is "
            f"not of the size that {trained.detector} has without that folder; use detect --run where it is"
        ) from None


def _save(network: Any, path: Path) -> None:
    from safetensors.torch import save_file

    with atomic(path) as temporary:
        save_file({key: value.contiguous().clone() for key, value in network.state_dict().items()}, temporary)


def _onnx(trained: Trained, path: Path) -> str:
    from benchmark import onnx_model

    try:
        difference, what = onnx_model.write(trained, path)
    except onnx_model.Inexpressible as error:
        return f"no {ONNX}: {trained.detector} cannot be expressed in ONNX ({error})"
    if not difference <= ONNX_TOLERANCE:
        path.unlink()
        return f"no {ONNX}: in onnxruntime its scores differ from PyTorch's by {difference:.2g}, so it is not kept"
    return f"{path}: {what}, equal to PyTorch within {difference:.1g} in onnxruntime"
