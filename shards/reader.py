"""Random access to the clips in the shards: one pread a clip, from any thread or process."""

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import soundfile

from ingest.cli import with_data
from ingest.types import DataError
from shards import index, storage
from shards.members import Members, OpenFile, ask
from shards.storage import Place

_WAV_HEAD_BYTES = 44
_FULL_SCALE = np.float32(1 / 32768)  # a power of two: no sample is rounded


class Reader(Members):
    """The clips of all shards by utterance and variant.

    source: the DATA folder, or an open connection to its catalog. The member index is read on first use and
    kept as six numbers a clip. Safe to share between threads, to fork, and to pickle into a worker process.
    """

    kind, table, shards = "shards", "shard_member", "shard"
    fresh = "NOT EXISTS (FROM measurement k WHERE k.utt_id = m.utt_id AND md5_number_upper(k.audio_hash) <> m.source)"
    columns: ClassVar[dict[str, tuple[str, type]]] = {
        "samples": ("m.samples", np.int64),
        "width": ("CASE WHEN m.member LIKE '%.wav' THEN (m.size - 44) // m.samples ELSE 0 END", np.int8),
    }

    def wave(self, utt_id: str, variant: str = "original") -> np.ndarray:
        """float32 (sample,) at 16 kHz, full scale 1. Raises DataError naming the shard and what to run."""
        row = self._row(utt_id, variant)
        index = self._index
        offset, size, samples, width = (int(index[k][row]) for k in ("offset", "size", "samples", "width"))
        if width:
            return self._pcm(row, offset + _WAV_HEAD_BYTES, samples, width, utt_id)
        return self._decoded(row, self._read(row, offset, size, utt_id), samples, utt_id)

    def span(self, utt_id: str, start: int, stop: int, variant: str = "original") -> np.ndarray:
        """Samples start..stop (exclusive) of a clip; from a PCM shard only their bytes are read.

        Raises DataError if the clip is shorter than stop.
        """
        row = self._row(utt_id, variant)
        index = self._index
        offset, samples, width = (int(index[k][row]) for k in ("offset", "samples", "width"))
        if not 0 <= start < stop <= samples:
            raise DataError(f"{utt_id} ({variant}) has {samples} samples; {start}..{stop} do not lie within")
        if not width:  # FLAC
            return self.wave(utt_id, variant)[start:stop]
        return self._pcm(row, offset + _WAV_HEAD_BYTES + width * start, stop - start, width, utt_id)

    def crops(
        self, utt_ids: Sequence[str], rows: np.ndarray, starts: np.ndarray, stops: np.ndarray, into: np.ndarray
    ) -> None:
        """Samples starts..stops (exclusive) of the clips that rows() found, each from the start of its row of `into`.

        into: float32 (clip, sample), or int16 where are_16_bit(rows): full scale is then 32,768. What lies behind a
        crop stays as it is. The numbers are those of span(); from PCM shards they reach it without an array for each
        clip, so this is several times faster. Raises DataError as span() does.
        """
        samples, width = self._index["samples"][rows], self._index["width"][rows].tolist()
        outside = np.flatnonzero((starts < 0) | (starts >= stops) | (stops > samples))
        if len(outside):
            i = outside[0]
            raise DataError(f"{utt_ids[i]} has {samples[i]} samples; {starts[i]}..{stops[i]} do not lie within")
        places = self._index["offset"][rows] + _WAV_HEAD_BYTES + self._index["width"][rows] * starts
        counts, files = (stops - starts).tolist(), [self._file(n) for n in self._index["shard"][rows].tolist()]
        as_stored = into.dtype == np.int16
        if as_stored:
            views = [memoryview(crop[:count]).cast("B") for crop, count in zip(into, counts, strict=True)]
        else:  # small enough to stay in the processor's cache between clips
            space = np.empty(max(counts), "<i2")
            view = memoryview(space).cast("B")
            views = [view[: 2 * count] for count in counts]
        if all(two == 2 for two in width) and all(isinstance(file, OpenFile) for file in files):
            spans = list(zip(files, places.tolist(), [2 * count for count in counts], strict=True))
            with self._turn:  # threads that hand the interpreter on after every read lose more by that
                asked = False
                for i, (file, place, _) in enumerate(spans):
                    if not file.in_memory(views[i], place):
                        if not asked:  # the disk works on all that are left while it is waited for the first
                            ask(spans[i:])
                            asked = True
                        self._read_into(int(rows[i]), place, views[i], utt_ids[i])
                    if not as_stored:
                        _scaled(space[: counts[i]], into[i, : counts[i]])
            return
        for i, (row, place, start, count) in enumerate(
            zip(rows.tolist(), places.tolist(), starts.tolist(), counts, strict=True)
        ):
            if width[i] == 2:
                self._read_into(row, place, views[i], utt_ids[i])
                if not as_stored:
                    _scaled(space[:count], into[i, :count])
            elif width[i] == 4:
                into[i, :count] = self._pcm(row, place, count, 4, utt_ids[i])
            else:
                offset, size = int(self._index["offset"][row]), int(self._index["size"][row])
                data = self._read(row, offset, size, utt_ids[i])
                into[i, :count] = self._decoded(row, data, int(samples[i]), utt_ids[i])[start : start + count]

    def are_16_bit(self, rows: np.ndarray) -> bool:
        """Whether all the clips that rows() found are stored as samples of 16 bits, which crops() can give as they
        are."""
        return bool((self._index["width"][rows] == 2).all())

    def waves(self, utt_ids: Sequence[str], variant: str = "original") -> list[np.ndarray]:
        """The clips of several utterances, in the order asked for, read in the order of the disk."""
        rows = [self._row(utt_id, variant) for utt_id in utt_ids]
        place = sorted(range(len(rows)), key=lambda i: (self._index["shard"][rows[i]], self._index["offset"][rows[i]]))
        waves: dict[int, np.ndarray] = {i: self.wave(utt_ids[i], variant) for i in place}
        return [waves[i] for i in range(len(rows))]

    def length(self, utt_id: str, variant: str = "original") -> int:
        """Samples at 16 kHz, from the index alone."""
        return int(self.lengths([utt_id], variant)[0])

    def lengths(self, utt_ids: Sequence[str], variant: str = "original") -> np.ndarray:
        """Samples of several utterances, int64 (utterance,), from the index alone."""
        return self.samples([self._row(utt_id, variant) for utt_id in utt_ids])

    def samples(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """int64 (clip,) lengths of the clips that rows() found."""
        return self._index["samples"][rows].astype(np.int64)

    def _making(self, corpus: str, variant: str) -> str:
        query = "SELECT audio_codec FROM shard WHERE corpus = ? AND variant = ? LIMIT 1"
        return making(corpus, variant, *self._asked(query, [corpus, variant]) or ())

    def _pcm(self, row: int, offset: int, samples: int, width: int, utt_id: str) -> np.ndarray:
        data = self._read(row, offset, width * samples, utt_id)
        if width == 4:
            return np.frombuffer(data, "<f4").astype(np.float32)
        return np.multiply(np.frombuffer(data, "<i2"), _FULL_SCALE, dtype=np.float32)

    def _decoded(self, row: int, data: bytes, samples: int, utt_id: str) -> np.ndarray:
        try:
            wave, _ = soundfile.read(io.BytesIO(data), dtype="float32")
        except soundfile.LibsndfileError as error:
            raise self._broken(row, utt_id, f"does not decode ({error.error_string})") from None
        if wave.shape != (samples,):
            raise self._broken(row, utt_id, f"decodes to {wave.shape}, not {samples} samples")
        return wave


def _scaled(samples: np.ndarray, into: np.ndarray) -> None:
    into[:] = samples  # convert, then scale: both of them fast loops, multiply() casting is not
    into *= _FULL_SCALE


def making(corpus: str, variant: str, audio_codec: str = "flac") -> str:
    """The command that writes the shards of a corpus in a variant, as they are."""
    known = {"original": f"python -m shards {corpus}", "vocals": f"python -m shards vocals {corpus}"}
    command = known.get(variant, f"python -m shards variants {corpus} --plan PLAN")
    return command if audio_codec == "flac" else f"{command} --audio-codec {audio_codec}"


def clips(
    tar: Place, *, data: Path, members: int, sha256: str, variant: str = "original", audio_codec: str = "flac"
) -> Iterator[tuple[str, np.ndarray, bytes]]:
    """The samples of one audio shard in order: utt_id, float32 (sample,), and its labels as JSON bytes.

    members: how many there should be; sha256: of the tar in the catalog; audio_codec: for what to run. Raises DataError
    naming the shard and what to run if it is damaged, or another one by its index.
    """
    again = with_data(making(tar.parent.name, variant, audio_codec), data)
    try:
        if not index.is_of(tar, sha256):
            raise DataError(f"shard {tar} was written anew by a command that has not ended well; run: {again}")
        with storage.opened(tar) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            entries, found = iter(archive), 0
            for found, entry in enumerate(entries, start=1):  # noqa: B007 - counted
                audio, labels = archive.extractfile(entry).read(), archive.extractfile(next(entries)).read()
                wave, _ = soundfile.read(io.BytesIO(audio), dtype="float32")
                yield entry.name.rsplit(".", 1)[0], wave, labels
        if found != members:
            raise EOFError(f"{found} of {members} clips are there")
    except FileNotFoundError:
        raise DataError(f"shard {tar} is missing; run: {again}") from None
    except (tarfile.TarError, soundfile.LibsndfileError, StopIteration, RuntimeError, EOFError) as error:
        raise DataError(f"shard {tar} is damaged ({error}); remove it and run: {again}") from None
