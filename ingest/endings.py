"""Whether a file ends where it should: decoders take a file that was cut short for a shorter one.

WAV, AIFF, CAF, Wave64 and AU state the bytes of their samples, AVI and Matroska (RFC 8794; WebM) those of the whole,
Ogg marks the last page of a stream (RFC 3533, section 6), ISO media (M4A, MP4) boxes begin with their size (ISO/IEC
14496-12, section 4.2), MPEG audio frames follow each other by their computed length, and a Xing, Info or VBRI frame
tells the bytes of the whole stream. Cuts that none of these shows cannot be told from the file alone.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

_PAGE_BYTES = 27 + 255 + 255 * 255  # the largest Ogg page
_BEGIN_OF_STREAM, _END_OF_STREAM = 2, 4
_STREAMED = 0x7F00_0000  # who writes to a pipe claims this size or more, in 32 bits: unknown
_STREAMED_64 = 1 << 62  # the same in 64 bits
_MOST_CHUNKS = 10_000  # before the samples: a gigabyte of empty ones would take minutes
_XING_SHARE = 0.99  # of the claimed bytes: editors drop tags and a last frame without correcting the claim
_IN_SYNC = 8  # frames that follow each other before the walk is believed
# kbit/s by index, for MPEG-1 of layers II and III, and for MPEG-2/2.5 of both
_BITRATES = {
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version bits
_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def cut(path: Path | str) -> str | None:
    """Why this file must have been cut short, in a few words, or None where nothing shows it.

    Knows WAV (RF64, Wave64), AIFF, CAF, AU, AVI, Matroska (WebM), Ogg (Vorbis, Opus, FLAC in Ogg), MPEG audio of layers
    II and III, AAC in ADTS, and ISO media; None for every other kind.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        start = file.read(16)
        kind, form = start[:4], start[8:12]
        if kind in (b"RIFF", b"RF64", b"BW64") and form == b"WAVE":
            file.seek(12)
            return _wav(file, size, long=kind != b"RIFF")
        if kind == b"RIFF" and form == b"AVI ":
            return _short(int.from_bytes(start[4:8], "little"), size - 8, _STREAMED, "")
        if kind == b"FORM" and form in (b"AIFF", b"AIFC"):
            file.seek(12)
            return _short(_chunk(file, size, b"SSND", order="big", even=2), size - file.tell(), _STREAMED)
        if kind == b"caff":
            file.seek(8)
            return _short(_chunk(file, size, b"data", order="big", size_bytes=8), size - file.tell(), _STREAMED_64)
        if start == _W64_RIFF:
            file.seek(40)
            return _short(_chunk(file, size, _W64_DATA, size_bytes=8, own=24, even=8), size - file.tell(), _STREAMED_64)
        if kind == b".snd" and len(start) == 16:
            return _short(int.from_bytes(form), size - int.from_bytes(start[4:8]), _STREAMED)
        if kind == _EBML:
            return _segment(file, size)
        if kind == b"OggS":
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


def chained(path: Path | str) -> bool:
    """Whether another Ogg stream begins behind the end of the first (RFC 3533, section 4), where libsndfile stops."""
    with open(path, "rb") as file:
        place, inside = 0, False
        while len(page := file.read(27)) == 27 and page.startswith(b"OggS"):
            begins = bool(page[5] & _BEGIN_OF_STREAM)
            if begins and inside:
                return True
            inside |= not begins
            place += 27 + page[26] + sum(file.read(page[26]))
            file.seek(place)
    return False


def _wav(file: BinaryIO, size: int, *, long: bool) -> str | None:
    """long: of the kind whose first chunk has the sizes that do not fit into 32 bits."""
    told = 0
    if long and _chunk(file, size, b"ds64"):
        told = int.from_bytes(file.read(16)[8:], "little")
    file.seek(12)
    length = _chunk(file, size, b"data", even=2)
    if long and length == 0xFFFF_FFFF:
        return _short(told, size - file.tell(), _STREAMED_64)
    return _short(length, size - file.tell(), _STREAMED)


def _chunk(
    file: BinaryIO, size: int, wanted: bytes, *, order: Literal["little", "big"] = "little", size_bytes: int = 4,
    own: int = 0, even: int = 1,
) -> int:  # fmt: skip
    """The bytes that a chunk says it holds, the file at the first of them; 0 where there is no such chunk.

    own: what each size counts of its own header. even: chunks begin at multiples of it.
    """
    for _ in range(_MOST_CHUNKS):
        header = file.read(len(wanted) + size_bytes)
        if len(header) < len(wanted) + size_bytes:
            break
        length = int.from_bytes(header[len(wanted) :], order) - own
        if header.startswith(wanted):
            return length
        if not 0 <= length <= size - file.tell():
            break
        file.seek(length + -length % even, os.SEEK_CUR)
    return 0


def _short(length: int, present: int, unknown: int, what: str = " of samples") -> str | None:
    """What to say of fewer bytes than claimed; None where the claim is not a size: 0, or from `unknown` on."""
    return f"{present} of {length} bytes{what} are there" if 0 < length < unknown and present < length else None


def _segment(file: BinaryIO, size: int) -> str | None:
    """Matroska: an EBML header, then a segment; recorders that write to a pipe leave its size unknown, all ones."""
    file.seek(0)
    if file.read(4) != _EBML or (length := _ebml_size(file)) > size:
        return None
    file.seek(length, os.SEEK_CUR)
    return _short(_ebml_size(file), size - file.tell(), _STREAMED_64, "") if file.read(4) == _SEGMENT else None


def _ebml_size(file: BinaryIO) -> int:
    """A number whose first bits say how many bytes it has (RFC 8794, section 4); 0 if it is unknown or none."""
    first = file.read(1)
    more = 8 - first[0].bit_length() if first else 8  # bytes that follow
    bits = 7 * (more + 1)
    value = int.from_bytes(first + file.read(more)) & (1 << bits) - 1
    return 0 if more == 8 or value == (1 << bits) - 1 else value


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


def tag_bytes(data: bytes) -> int:
    """How long a tag is that begins here: ID3v2, APEv2 (mp3gain and others put it behind the sound) or Lyrics3, of
    which only what is here counts; 0 for anything else."""
    if data[:8] == b"APETAGEX":
        return 32 + int.from_bytes(data[12:16], "little")
    return len(data) if data[:11] == b"LYRICSBEGIN" else _after_id3(data)


def _after_id3(start: bytes) -> int:
    if start[:3] != b"ID3" or len(start) < 10:
        return 0
    a, b, c, d = start[6:10]
    return 10 + (a << 21 | b << 14 | c << 7 | d)


def _mpeg_length(header: bytes) -> int:
    """Bytes of the MPEG frame of layer II or III with this header of four bytes; 0 if it is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    layer, version, bitrate, rate = 4 - (header[1] >> 1 & 3), header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if layer not in (2, 3) or version == 1 or rate == 3 or bitrate in (0, 15):
        return 0
    samples_over_8 = 144 if version == 3 or layer == 2 else 72
    bits = 1000 * _BITRATES[version == 3, layer][bitrate]
    return samples_over_8 * bits // _RATES_HZ[version][rate] + (header[2] >> 1 & 1)


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
    """What a Xing or Info frame, or Fraunhofer's VBRI frame, says of the bytes of the whole stream."""
    file.seek(place)
    frame = file.read(200)
    mark, at = max(frame.find(b"Xing"), frame.find(b"Info")), frame.find(b"VBRI") + 10
    if (mark < 0 and at < 10) or len(frame) < mark + 16:
        return None
    if mark >= 0:
        flags, at = int.from_bytes(frame[mark + 4 : mark + 8]), mark + 8 + 4 * (frame[mark + 7] & 1)
        if not flags & 2:
            return None
    claimed = int.from_bytes(frame[at : at + 4])
    return f"{size - place} of {claimed} bytes are there" if size - place < _XING_SHARE * claimed else None
