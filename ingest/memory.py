"""How this process asks the system for memory, and how much it had."""

import contextlib
import ctypes
import resource
import sys
from pathlib import Path

_NO_MEMORY = ("can't allocate memory", "Storage size calculation overflowed")  # of torch's CPU allocator
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # malloc.h


def keep_freed() -> None:
    """Let glibc reuse large blocks instead of handing them back to the kernel whenever they are free.

    Waves, spectra and activations of a few MiB are mapped, zeroed by page faults and unmapped again at each step
    otherwise: a third of the time of measuring audio, half of that of a training step of LFCC-LCNN on a CPU and of f0.
    Does nothing where there is no glibc.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for option, size in ((_MMAP_THRESHOLD, 1 << 30), (_TRIM_THRESHOLD, (1 << 31) - 1), (_TOP_PAD, 64 << 20)):
        mallopt(option, size)


def peak_bytes() -> int:
    """The most memory that this program had in RAM so far, in bytes.

    Not getrusage's where the system tells better: that counts what started this program, as large as it was then.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def lacking(error: BaseException) -> bool:
    """Whether this is what Python or torch raises where there is too little memory, of a processor or of a GPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"  # torch's, which is not imported here
        or (isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY))
    )
