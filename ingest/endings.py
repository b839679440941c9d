"""Whether a file ends where it should: decoders take a file that was cut short for a shorter one.

A WAV file states the bytes of its samples, Ogg marks the last page of a stream (RFC 3533, section 6), ISO media (M4A,
MP4) boxes begin with their size (ISO/IEC 14496-12, section 4.2), MPEG audio frames follow each other by their computed
length, and a Xing or Info frame tells the bytes of the whole stream. Cuts that none of these shows cannot be told from
the file alone.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_PAGE_BYTES = 27 + 255 + 255 * 255  # the largest Ogg page
_END_OF_STREAM = 4
_STREAMED = 0x7FFF_F000  # a WAV data chunk that claims this size or more was written to a pipe: size unknown
_XING_SHARE = 0.99  # of the claimed bytes: editors drop tags and a last frame without correcting the claim
_IN_SYNC = 8  # frames that follow each other before the walk is believed
# kbit/s by index, for MPEG-1 and MPEG-2/2.5 of layer III
_BITRATES = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version bits


def cut(path: Path | str) -> str | None:
    """Why this file must have been cut short, in a few words, or None where nothing shows it.

    Knows WAV, Ogg (Vorbis, Opus, FLAC in Ogg), MP3, AAC in ADTS, and ISO media; None for every other kind.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        start = file.read(12)
        if start[:4] == b"RIFF" and start[8:] == b"WAVE":
            return _wav(file, size)
        if start[:4] == b"OggS":
            return _ogg(file, size)
        if start[4:8] in (b"ftyp", b"styp"):
            return _boxes(file, size)
        offset = _after_id3(start)
        file.seek(offset)
        lead = file.read(6)
        if _mpeg_length(lead):
            return _frames(file, offset, _mpeg_length) or _xing(file, offset, size)
        if _adts_length(lead):
            return _frames(file, offset, _adts_length)
    return None


def unknown_in_flac(path: Path | str) -> bool:
    """Whether a FLAC file does not say how many samples it has, as one written to a pipe (RFC 9639, section 8.2)."""
    with open(path, "rb") as file:
        start = file.read(26)
    return start[:4] == b"fLaC" and len(start) == 26 and not int.from_bytes(start[21:26]) & (1 << 36) - 1


def _wav(file: BinaryIO, size: int) -> str | None:
    while len(chunk := file.read(8)) == 8:
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            present = size - file.tell()
            cut_short = 0 < length < _STREAMED and present < length
            return f"{present} of {length} bytes of samples are there" if cut_short else None
        file.seek(length + length % 2, os.SEEK_CUR)
    return None


def _ogg(file: BinaryIO, size: int) -> str | None:
    file.seek(max(0, size - 2 * _PAGE_BYTES))
    tail = file.read()
    place = tail.rfind(b"OggS")
    while place >= 0:
        page = tail[place : place + 27]
        if len(page) < 27:
            return "the last Ogg page is cut"
        if page[4] == 0 and page[5] < 8:  # else the four letters are sound
            sizes = tail[place + 27 : place + 27 + page[26]]
            if len(sizes) < page[26] or place + 27 + page[26] + sum(sizes) > len(tail):
                return "the last Ogg page is cut"
            return None if page[5] & _END_OF_STREAM else "the last Ogg page does not end the stream"
        place = tail.rfind(b"OggS", 0, place)
    return "no Ogg page near the end"


def _boxes(file: BinaryIO, size: int) -> str | None:
    place = 0
    while place + 8 <= size:
        file.seek(place)
        header = file.read(16)
        length, kind = int.from_bytes(header[:4]), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16])
        if length == 0:  # to the end of the file
            return None
        if length < 8 or not kind.isascii():
            return None  # no box: something else was appended
        if place + length > size:
            return f"{size - place} of {length} bytes of its {kind.decode()} box are there"
        place += length
    return "the last box is cut" if 0 < size - place < 8 else None


def _after_id3(start: bytes) -> int:
    if start[:3] != b"ID3" or len(start) < 10:
        return 0
    a, b, c, d = start[6:10]
    return 10 + (a << 21 | b << 14 | c << 7 | d)


def _mpeg_length(header: bytes) -> int:
    """Bytes of the MPEG layer III frame with this header of four bytes; 0 if it is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, bitrate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or rate == 3 or bitrate in (0, 15):
        return 0
    samples_over_8 = 144 if version == 3 else 72
    return samples_over_8 * 1000 * _BITRATES[version == 3][bitrate] // _RATES_HZ[version][rate] + (header[2] >> 1 & 1)


def _adts_length(header: bytes) -> int:
    """Bytes of the ADTS frame with this header of six bytes; 0 if it is none."""
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return 0
    return (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5


def _frames(file: BinaryIO, place: int, length_of: Callable[[bytes], int]) -> str | None:
    """Walk from frame to frame; a last frame that the file does not hold whole shows a cut."""
    file.seek(place)
    data, at, frames = file.read(), 0, 0
    while at < len(data):
        length = length_of(data[at : at + 6])
        if length <= 0:
            return None  # a tag at the end, or no frame: nothing to be told
        if at + length > len(data):
            return "the last frame is cut" if frames >= _IN_SYNC else None
        at, frames = at + length, frames + 1
    return None


def _xing(file: BinaryIO, place: int, size: int) -> str | None:
    file.seek(place)
    frame = file.read(200)
    mark = max(frame.find(b"Xing"), frame.find(b"Info"))
    if mark < 0 or len(frame) < mark + 16:
        return None
    flags, at = int.from_bytes(frame[mark + 4 : mark + 8]), mark + 8 + 4 * (frame[mark + 7] & 1)
    claimed = int.from_bytes(frame[at : at + 4]) if flags & 2 else 0
    return f"{size - place} of {claimed} bytes are there" if size - place < _XING_SHARE * claimed else None
