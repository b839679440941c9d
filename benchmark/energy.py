"""What a run drew from the wall: counters of the processor and the GPU where they can be read, else an estimate."""

import importlib
import resource
import threading
from pathlib import Path
from typing import Any

WATTS_PER_BUSY_CORE = 10.0  # a server core under load, with its share of memory and board
EVERY_S = 60.0  # a counter of 65 kJ, the smallest there is, lasts longer below 1 kW
_RAPL = Path("/sys/class/powercap")


class Meter:
    """Joules from one reading to the next; a context, which it must be left by.

    Sources, joined by "+" in `source`: `rapl` (energy counters of the processor packages, the whole machine's), `nvml`
    (the GPU's own counter), `estimate` (processor seconds of this process times WATTS_PER_BUSY_CORE; a GPU without a
    counter is then not in it). The packages' counters start again from 0 several times an hour, so a thread reads them
    every EVERY_S seconds.
    """

    def __init__(self, device: str = "cpu"):
        self._rapl = _packages()
        self._gpu = _gpu(device)
        self._lock, self._left = threading.Lock(), threading.Event()
        self._counted = {path: (0, _counter(path)) for path in self._rapl}  # microjoules so far, last reading
        self._before = self._read()

    def __enter__(self) -> "Meter":
        if self._rapl:
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()

    def _watch(self) -> None:
        while not self._left.wait(EVERY_S):
            self._count()

    def _count(self) -> int:
        """Microjoules of all packages since it was made."""
        with self._lock:
            for path, (sum_uj, before) in self._counted.items():
                after = _counter(path)
                self._counted[path] = (sum_uj + _passed(before, after, path), after)
            return sum(sum_uj for sum_uj, _ in self._counted.values())

    def _read(self) -> tuple[int, float, int | None]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return self._count(), usage.ru_utime + usage.ru_stime, (self._gpu() if self._gpu else None)

    def read(self) -> dict[str, Any]:
        """{"energy_j": joules since the last reading, "energy_source": how they were found}."""
        before, self._before = self._before, self._read()
        packages_uj, busy_s, gpu = self._before
        if self._rapl:
            joules, sources = (packages_uj - before[0]) / 1e6, ["rapl"]
        else:
            joules, sources = (busy_s - before[1]) * WATTS_PER_BUSY_CORE, ["estimate"]
        if gpu is not None:
            joules += (gpu - before[2]) / 1e3
            sources.append("nvml")
        return {"energy_j": round(joules, 1), "energy_source": "+".join(sources)}


def _packages() -> list[Path]:
    """Folders of the readable energy counters of whole processors."""
    found = []
    for path in sorted(_RAPL.glob("intel-rapl:[0-9]")) if _RAPL.exists() else ():
        try:
            _counter(path)
            if (path / "name").read_text().startswith("package"):  # psys has the packages in it
                found.append(path)
        except (OSError, ValueError):
            continue
    return found


def _counter(path: Path) -> int:
    """Microjoules."""
    return int((path / "energy_uj").read_text())


def _passed(before: int, after: int, path: Path) -> int:
    """Microjoules between two readings of a counter that starts again from 0 at its range."""
    if after >= before:
        return after - before
    return after + int((path / "max_energy_range_uj").read_text()) - before


def _gpu(device: str) -> Any:
    """A function that reads the GPU's energy counter in millijoules; None without a GPU or its counter.

    Found by its UUID: NVML counts the GPUs of the machine, CUDA those that CUDA_VISIBLE_DEVICES leaves, in its order.
    """
    if not device.startswith("cuda"):
        return None
    import torch

    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception:  # no library, no driver, no such counter: then there is no reading
        return None
    return lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
