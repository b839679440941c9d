"""How this process asks the system for memory."""

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # malloc.h


def keep_freed() -> None:
    """Let glibc reuse large blocks instead of handing them back to the kernel whenever they are free.

    Activations and spectra of a few MiB are mapped, zeroed by page faults and unmapped again at each step otherwise:
    half the time of a training step of LFCC-LCNN on a CPU, and of f0. Does nothing where there is no glibc.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for option, size in ((_MMAP_THRESHOLD, 1 << 30), (_TRIM_THRESHOLD, (1 << 31) - 1), (_TOP_PAD, 64 << 20)):
        mallopt(option, size)
