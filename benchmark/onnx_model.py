"""A detector as an ONNX model: what it is fed with in, one score per clip out; checked against onnxruntime."""

import contextlib
import io
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark import onnx_forms
from benchmark.inference import WINDOW
from benchmark.level import SAID
from benchmark.trained import Trained
from features import extractors
from ingest.files import atomic
from ingest.types import DataError

OPSET = 18
BATCHES = (1, 2)
LONGER = 2.1  # the second batch, where the length is free


class Inexpressible(Exception):
    """The network has no ONNX form; the reason is one line."""


class _Scored(torch.nn.Module):
    """The network's score as a forward pass."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network.score(x)


def need_packages() -> None:
    """Raise DataError if the extra `onnx` is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise DataError(
            f"--onnx needs the packages onnx and onnxruntime ({error}): pip install sirenbench[onnx]"
        ) from None


def write(trained: Trained, path: Path) -> tuple[float, str]:
    """Write the model; returns the largest difference of a score from PyTorch's, and what its input is.

    The input `x` is the detector's feature, (batch, ...) of any batch: the wave itself for detectors of raw audio, at
    the level that the detector hears it.
    Raises Inexpressible if the network has no ONNX form, DataError if the extra `onnx` is not installed.
    """
    need_packages()
    import onnx

    if trained.detector in onnx_forms.WITHOUT:
        raise Inexpressible(onnx_forms.WITHOUT[trained.detector])
    spec = trained.input
    lengths = [spec["samples"] or WINDOW, spec["samples"] or round(LONGER * WINDOW)]
    extractor = extractors.get(spec["feature"], **spec["params"])
    generator = torch.Generator().manual_seed(0)
    inputs = [extractor.extract(0.1 * torch.randn(*shape, generator=generator)) for shape in zip(BATCHES, lengths)]
    model = _Scored(trained.network.cpu()).eval()
    fast = trained.network.fast
    trained.network.take_form(fast=False)  # the quick form works on tiles, whose number a graph would fix
    try:
        with onnx_forms.portable(trained.network):
            content = _exported(model, inputs[1], any_length=spec["samples"] is None)
    finally:
        trained.network.take_form(fast=fast)
    plain = onnx.load_from_string(content)
    _strip(plain)
    with atomic(path) as temporary:
        temporary.write_bytes(plain.SerializeToString(deterministic=True))
    worst = _difference(model, path, inputs)
    shape = ", ".join(str(size) for size in inputs[0].shape[1:])
    return worst, f"x (batch, {shape}) of {spec['feature']}{SAID[trained.level]} to score (batch,)"


def _difference(model: torch.nn.Module, path: Path, inputs: Sequence[torch.Tensor]) -> float:
    """The largest difference of a score in onnxruntime from PyTorch's, relative to the largest score above 1.

    NaN where a score is not a number. Raises Inexpressible, and removes the file, if its graph does not run.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        theirs = [session.run(None, {"x": x.numpy()})[0] for x in inputs]
    except Exception as error:  # a graph that was written and does not run, for as many reasons as there are networks
        path.unlink()
        raise Inexpressible(f"its graph does not run in onnxruntime: {_first_line(error)}") from error
    with torch.inference_mode():
        ours = [model(x).numpy() for x in inputs]
    return float(np.max([np.abs(a - b).max() / max(1.0, np.abs(a).max()) for a, b in zip(ours, theirs)]))


def _strip(model: Any) -> None:
    """Remove what names places on this machine: stack traces and remarks."""
    model.ClearField("metadata_props")
    for graph in (model.graph, *model.functions):
        for part in (graph, *graph.node, *graph.value_info):
            for field in ("doc_string", "metadata_props"):
                part.ClearField(field)
    for part in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        part.ClearField("metadata_props")


def _exported(model: torch.nn.Module, x: torch.Tensor, *, any_length: bool) -> bytes:
    axes = {0: "batch", 1: "frame"} if any_length else {0: "batch"}
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(), _silent(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model, (x,), buffer, input_names=["x"], output_names=["score"], opset_version=OPSET, dynamo=False,
                dynamic_axes={"x": axes, "score": {0: "batch"}},
            )  # fmt: skip
    except Exception as error:  # every way in which an arbitrary network can defeat the exporter
        raise Inexpressible(re.split(r"\. Please|  \[", _first_line(error))[0]) from error
    return buffer.getvalue()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Nothing reaches the terminal: where it fails, the exporter prints the whole graph from C++."""
    sys.stdout.flush()
    sys.stderr.flush()
    with open(os.devnull, "w") as nowhere:
        kept = os.dup(1), os.dup(2)
        try:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            os.close(kept[0])
            os.close(kept[1])
