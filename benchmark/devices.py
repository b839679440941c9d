"""Which device a cell runs on: the word of the command line, and one GPU for each cell where there are several."""

import contextlib
import fcntl
import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ingest.parallel import cores
from ingest.types import DataError
from shards.device import check_device, exact


def device_of(word: str) -> str:
    """The device a word means here: `auto` is the GPU where there is one, else the CPU.

    Raises DataError if torch cannot compute on it: a CUDA device is named and none is visible, an unknown word.
    """
    import torch

    if word == "auto":
        exact()
        return "cuda" if torch.cuda.is_available() else "cpu"
    if word.startswith("cuda") and not torch.cuda.is_available():
        raise DataError(f"--device {word}: no CUDA device is visible here; use --device cpu")
    check_device(word)
    return word


def count(word: str) -> int:
    """How many cells run at once by default: one per GPU, or one per processor."""
    import torch

    device = device_of(word)
    if device == "cpu":
        return cores()
    return torch.cuda.device_count() if device == "cuda" else 1


@contextlib.contextmanager
def taken(word: str, *, gpus: int | None = None) -> Iterator[str]:
    """The device of one cell, for as long as the cell runs: of several GPUs one that no other cell here has.

    gpus: how many there are (default: as many as are visible). With more cells than GPUs, cells share the first. Under
    torchrun each process has its own; DataError where there is none for it.
    """
    device = device_of(word) if gpus is None else word
    if device.startswith("cuda") and "LOCAL_RANK" in os.environ:
        yield _of_process(device, gpus)
        return
    if device != "cuda":
        yield device
        return
    import torch

    gc.collect()
    torch.cuda.empty_cache()  # memory kept on the GPU that this process had before: another cell may have that one now
    with contextlib.ExitStack() as held:
        for number in range(torch.cuda.device_count() if gpus is None else gpus):
            path = Path(tempfile.gettempdir()) / f"siren-gpu-{os.getuid()}-{_name(number, gpus)}.lock"
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            held.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield f"cuda:{number}"
            return
        yield "cuda:0"


def _name(number: int, gpus: int | None) -> str:
    """What tells a GPU from the others of the machine: each command counts those that it sees from 0."""
    import torch

    return str(number if gpus is not None else getattr(torch.cuda.get_device_properties(number), "uuid", number))


def _of_process(device: str, gpus: int | None) -> str:
    """The GPU of this process of those that torchrun started on this machine."""
    import torch

    own, processes = int(os.environ["LOCAL_RANK"]), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if device != "cuda" and processes == 1:
        return device
    gpus = torch.cuda.device_count() if gpus is None else gpus
    if device != "cuda" or max(processes, own + 1) > gpus:
        raise DataError(
            f"torchrun: each of {processes} processes needs a GPU of its own; there are {gpus}, --device is {device}"
        )
    return f"cuda:{own}"
