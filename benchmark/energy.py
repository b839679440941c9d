"""What a run drew from the wall: counters of the processor and the GPU where they can be read, else an estimate."""

import importlib
import resource
from pathlib import Path
from typing import Any

WATTS_PER_BUSY_CORE = 10.0  # a server core under load, with its share of memory and board
_RAPL = Path("/sys/class/powercap")


class Meter:
    """Joules since it was made.

    Sources, joined by "+" in `source`: `rapl` (energy counters of the processor packages, the whole machine's), `nvml`
    (the GPU's own counter), `estimate` (processor seconds of this process times WATTS_PER_BUSY_CORE; a GPU without a
    counter is then not in it).
    """

    def __init__(self, device: str = "cpu"):
        self._rapl = _packages()
        self._gpu = _gpu(device)
        self._before = self._read()

    def _read(self) -> tuple[dict[Path, int], float, int | None]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return (
            {path: int((path / "energy_uj").read_text()) for path in self._rapl},
            usage.ru_utime + usage.ru_stime,
            (self._gpu() if self._gpu else None),
        )

    def read(self) -> dict[str, Any]:
        """{"energy_j": joules so far, "energy_source": how they were found}."""
        packages, busy_s, gpu = self._read()
        joules, sources = 0.0, []
        if packages:
            for path, after in packages.items():
                joules += _passed(self._before[0][path], after, path) / 1e6
            sources.append("rapl")
        else:
            joules += (busy_s - self._before[1]) * WATTS_PER_BUSY_CORE
            sources.append("estimate")
        if gpu is not None:
            joules += (gpu - self._before[2]) / 1e3
            sources.append("nvml")
        return {"energy_j": round(joules, 1), "energy_source": "+".join(sources)}


def _packages() -> list[Path]:
    """Folders of the readable energy counters of whole processors."""
    found = []
    for path in sorted(_RAPL.glob("intel-rapl:[0-9]")) if _RAPL.exists() else ():
        try:
            int((path / "energy_uj").read_text())
        except (OSError, ValueError):
            continue
        found.append(path)
    return found


def _passed(before: int, after: int, path: Path) -> int:
    """Microjoules between two readings of a counter that starts again from 0 at its range."""
    if after >= before:
        return after - before
    return after + int((path / "max_energy_range_uj").read_text()) - before


def _gpu(device: str) -> Any:
    """A function that reads the GPU's energy counter in millijoules; None without a GPU or its counter."""
    if not device.startswith("cuda"):
        return None
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByIndex(int(device.partition(":")[2] or 0))
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception:  # no library, no driver, no such counter: then there is no reading
        return None
    return lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
