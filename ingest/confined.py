"""FFmpeg on files from outside: local regular files of known containers, and nothing that such a file points to.

FFmpeg opens URLs where a path is expected, and playlists (HLS, DASH, concat) that name further files or addresses. Here
the protocol is `file` alone, the demuxer one of CONTAINERS, and the path is marked as a file, so that `http:...` is
looked for on the disk. Its memory and its time have limits, too.
"""

import ctypes
import functools
import os
import stat
from pathlib import Path
from typing import Any

CONTAINERS = (
    "3gp", "aa", "aac", "aax", "ac3", "ac4", "act", "aea", "aiff", "alaw", "amr", "amrnb", "amrwb", "ape", "aptx",
    "asf", "au", "avi", "bonk", "caf", "daud", "dsf", "dss", "dts", "dtshd", "eac3", "flac", "flv", "g722", "g723_1",
    "g726", "g729", "gsm", "gxf", "hca", "iamf", "iff", "ircam", "latm", "lc3", "loas", "matroska", "mlp", "mmf",
    "mov", "mp2", "mp3", "mp4", "mpc", "mpc8", "mpeg", "mpegts", "mulaw", "mxf", "nistsphere", "nsv", "nut", "ogg",
    "oma", "osq", "paf", "pvf", "qcp", "qoa", "rka", "rm", "rso", "sbc", "shn", "sln", "sox", "swf", "tak", "truehd",
    "tta", "voc", "vqf", "w64", "wav", "wavarc", "webm", "wsd", "wtv", "wv", "wve", "xwma",
)  # fmt: skip
"""Demuxers that read one self-contained file with sound in it, by FFmpeg's names."""
LIMITS = {"protocol_whitelist": "file", "format_whitelist": ",".join(CONTAINERS)}
"""Options for an input of FFmpeg, for the library and the program alike."""
LARGEST_BYTES = 1 << 29  # of one piece of memory; the index of a day of sound takes a tenth of it
WAIT_S = 120.0  # for a disk to answer
PROGRAM = ("-timelimit", "3600", "-max_alloc", str(LARGEST_BYTES))
"""Arguments of the program: seconds of processor time, and bytes of one piece of memory."""


def address(path: Path | str) -> str:
    """The path in a form that FFmpeg cannot mistake for an option or an address of another protocol."""
    return "file:" + os.path.abspath(path)


def open_media(path: Path | str) -> Any:
    """Open with PyAV, confined; a context manager. Raises av.FFmpegError for whatever is not among CONTAINERS."""
    import av

    _limit_memory()
    limits = {"options": dict(LIMITS), "timeout": WAIT_S, "metadata_errors": "replace"}  # tags are often not in UTF-8
    return av.open(address(path), **limits)


@functools.cache
def _limit_memory() -> None:
    """Tell the library of FFmpeg in this process its LARGEST_BYTES; PyAV has no word for it."""
    import av

    ctypes.CDLL(av._core.__file__).av_max_alloc(ctypes.c_size_t(LARGEST_BYTES))


def regular(path: Path | str) -> bool:
    """Whether path is a file with an end: not a pipe or device, which could be read for ever. OSError if absent."""
    return stat.S_ISREG(os.stat(path).st_mode)
