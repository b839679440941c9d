"""Audio shards to feature shards: one tar in, one tar out, `<utt_id>.npy` and its labels beside it."""

import functools
import hashlib
import io
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from joblib import cpu_count, delayed

from features import extractors
from ingest import catalog, memory, parallel
from ingest.cli import with_data
from ingest.files import lock
from ingest.types import DataError
from shards import index, reader, root, storage, writer
from shards.device import exact
from shards.storage import Place
from shards.tar import TarWriter

DTYPES = ("float32", "float16")
FORMAT = 1  # raise it when the same input is to give other bytes
WINDOW = 64  # clips held at once; those of equal length go through the extractor together on a GPU
CLIPS_PER_JOB = 1000
SCHEMA = Path(__file__).with_name("feature.sql")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which feature, with which parameters, stored how, computed where."""

    name: str
    params: str  # JSON
    dtype: str = "float32"
    device: str = "cpu"

    @classmethod
    def of(
        cls, name: str, preset: str | None, params: Mapping[str, Any], dtype: str = "float32", device: str = "cpu"
    ) -> "Recipe":
        """Resolve preset and parameters; raises DataError for unknown ones."""
        if dtype not in DTYPES:
            raise DataError(f"dtype {dtype!r} is none of {', '.join(DTYPES)}")
        resolved = extractors.get(name, preset=preset, **params).params
        return cls(name, json.dumps(resolved, sort_keys=True), dtype, device)

    @property
    def extractor(self) -> extractors.Extractor:
        """The extractor on its device; built once per process."""
        return _extractor(self)

    @property
    def key(self) -> str:
        """The extractor's key; stored as float16, or from another kind of device, it is another feature.

        Devices add in another order: what the CPU computes differs from what CUDA does, by rounding.
        """
        return stored_key(self.extractor.key, self.dtype, self.device)

    @property
    def folder(self) -> str:
        """Name of the folder below DATA/features, and the feature's name in the catalog."""
        return f"{self.name}-{self.key[:8]}"


def stored_key(key: str, dtype: str, device: str) -> str:
    """The key of an extractor's output as it is stored; that of the extractor for float32 from the CPU."""
    kind = device.partition(":")[0]
    apart = " ".join([*([dtype] if dtype != "float32" else []), *([kind] if kind != "cpu" else [])])
    return hashlib.sha256(f"{key} {apart}".encode()).hexdigest() if apart else key


@dataclass(frozen=True, slots=True)
class AudioShard:
    """One tar of audio, as the catalog knows it."""

    name: str
    corpus: str
    variant: str
    sha256: str
    members: int
    audio_codec: str = "flac"


@functools.lru_cache(maxsize=4)
def _extractor(recipe: Recipe) -> extractors.Extractor:
    exact()
    return extractors.get(recipe.name, **json.loads(recipe.params)).to(recipe.device)


def compute_corpus(
    corpus: str,
    data: Path,
    recipe: Recipe,
    *,
    variant: str = "original",
    jobs: parallel.Jobs | None = None,
) -> dict[str, int]:
    """Compute a feature of every clip in the corpus's shards and enter it in the catalog.

    Shards that are there, made from the same audio by the same extractor, are not computed again. Returns
    counts: shards, written, members, size_bytes. Raises DataError if there are no shards or one is damaged.
    """
    data = data.absolute()
    root.claim(data)
    with catalog.connect(data / "catalog.duckdb") as con:
        audio = audio_shards(con, corpus, variant, data)
        entered = _entered(con, recipe.folder, corpus, variant)
        place = root.root(con, data)
    folder, feature = place / "features", recipe.folder
    names = [f"{feature}/{shard.name}" for shard in audio]
    with lock(data / "features" / feature / corpus / ".lock"):
        digests = {name: digest for name, (digest, _) in entered.items()}
        wanting = [
            (name, shard, made_of) for name, shard in zip(names, audio)
            if not index.finished(folder / name, made_of := fingerprint(recipe, shard), digests.get(name))
        ]  # fmt: skip
        total = sum(shard.members for _, shard, _ in wanting)
        if jobs is None:
            jobs = min(cpu_count(), 1 + total // CLIPS_PER_JOB) if recipe.device == "cpu" else 1
        tasks = (delayed(compute_shard)(place, data, recipe, *one) for one in wanting)
        gpus = 0 if recipe.device == "cpu" else 1
        writer.each(tasks, what=f"features {feature} {corpus}", jobs=jobs, total=total, gpus=gpus, place=place)
        index.settle([folder / name for name, *_ in wanting] + [folder / n for n in names if n not in entered])
        about = [index.read_about(folder / name) for name in names]
        _enter(data, corpus, variant, recipe, about, place)
    return {
        "shards": len(about), "written": len(wanting), "members": sum(a["members"] for a in about),
        "size_bytes": sum(a["size_bytes"] for a in about),
    }  # fmt: skip


def audio_shards(con: duckdb.DuckDBPyConnection, corpus: str, variant: str, data: Path) -> list[AudioShard]:
    """The corpus's audio shards, by name. Raises DataError if there are none."""
    found = []
    if writer.has_shards(con):
        query = (
            "SELECT shard, corpus, variant, sha256, members, audio_codec FROM shard WHERE corpus = ? AND variant = ? "
            "ORDER BY 1"
        )
        found = [AudioShard(*row) for row in con.execute(query, [corpus, variant]).fetchall()]
    if not found:
        catalog.check_known(con, corpus)
        raise DataError(
            f"{corpus} has no shards of variant {variant!r} in {data / 'catalog.duckdb'}; "
            f"run: {with_data(reader.making(corpus, variant), data)}"
        )
    return found


def fingerprint(recipe: Recipe, audio: AudioShard) -> str:
    """sha256 over everything that a feature shard depends on."""
    return hashlib.sha256(json.dumps([FORMAT, recipe.key, audio.sha256]).encode()).hexdigest()


def compute_shard(
    place: Place, data: Path, recipe: Recipe, name: str, audio: AudioShard, planned: str | None = None
) -> int:
    """Compute feature shard `name` and its index from one audio shard; returns the number of clips.

    place: the root that holds shards/ and features/; data: for what an error tells to run; planned: the fingerprint
    that it has for who asks for it. Raises DataError if it is another one here.
    """
    import torch

    if planned not in (None, fingerprint(recipe, audio)):
        raise writer.made_otherwise(name)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums over several threads come in another order: other bytes
    try:
        return _compute_shard(place, data, recipe, name, audio)
    finally:
        torch.set_num_threads(threads)


def _compute_shard(place: Place, data: Path, recipe: Recipe, name: str, audio: AudioShard) -> int:
    path = place / "features" / name
    members: list[tuple[str, str, int, int, int]] = []
    with storage.writing(path) as temporary, TarWriter(temporary) as tar:
        for utt_id, x, labels in _features(recipe, audio, place, data):
            array = npy(_stored(x, recipe, utt_id))
            members.append((utt_id, f"{utt_id}.npy", tar.add(f"{utt_id}.npy", array), len(array), len(x)))
            known = json.loads(labels) | {"feature": recipe.folder, "frames": len(x), "dim": int(x[0].size)}
            tar.add(f"{utt_id}.json", json.dumps(known, sort_keys=True, ensure_ascii=False).encode())
    about = {
        "shard": name, "feature": recipe.folder, "corpus": audio.corpus, "variant": audio.variant,
        "audio_shard": audio.name, "members": len(members), "size_bytes": tar.size_bytes, "sha256": tar.sha256,
        "fingerprint": fingerprint(recipe, audio),
    }  # fmt: skip
    utt_id, member, offset, size, frames = zip(*members)
    count = len(members)
    table = pa.table({
        "feature": [recipe.folder] * count, "utt_id": utt_id, "variant": [audio.variant] * count,
        "shard": [name] * count, "member": member, "offset": offset, "size": size, "frames": frames,
    })  # fmt: skip
    index.write_index(path, table, about)
    return count


def _features(recipe: Recipe, audio: AudioShard, place: Place, data: Path) -> Iterator[tuple[str, np.ndarray, bytes]]:
    """utt_id, (frame, dim) float32 and labels of every clip, in the order of the shard."""
    import torch

    tar = place / "shards" / audio.name
    samples = reader.clips(
        tar, data=data, members=audio.members, sha256=audio.sha256, variant=audio.variant, audio_codec=audio.audio_codec
    )
    while window := list(itertools.islice(samples, WINDOW)):
        by_length: dict[int, list[int]] = {}
        for i, (_, wave, _) in enumerate(window):
            by_length.setdefault(wave.size, []).append(i)
        found: dict[int, np.ndarray] = {}
        for places in by_length.values():
            waves = torch.from_numpy(np.stack([window[i][1] for i in places])).to(recipe.device)
            try:
                found |= zip(places, recipe.extractor.extract(waves).cpu().numpy())
            except (MemoryError, RuntimeError) as error:
                if not memory.lacking(error):
                    raise
                lasts_s = waves.shape[1] / recipe.extractor.rate_hz
                raise DataError(
                    f"{window[places[0]][0]}: {recipe.name} of {lasts_s:.1f} s of sound does not fit into memory; try "
                    "--jobs 1, or cut such clips into shorter ones before they are ingested"
                ) from None
        for i, (utt_id, _, labels) in enumerate(window):
            yield utt_id, found[i], labels


def _stored(x: np.ndarray, recipe: Recipe, utt_id: str) -> np.ndarray:
    """(frame, dim) in the recipe's dtype. Raises DataError for values that are not finite or beyond float16."""
    with np.errstate(over="ignore"):  # it is told below
        stored = x.astype(recipe.dtype)
    if not np.isfinite(stored).all():
        if np.isfinite(x).all():
            told = f"has values up to {np.abs(x).max():.6g}, beyond 65504 of float16; store it with --dtype float32"
        else:
            told = "has values that are not finite numbers"
        raise DataError(f"{utt_id}: {recipe.name} {told}")
    return stored


def npy(array: np.ndarray) -> bytes:
    """The bytes of a .npy file."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _enter(
    data: Path, corpus: str, variant: str, recipe: Recipe, about: list[dict[str, Any]], place: Place
) -> None:  # fmt: skip
    """Replace the catalog's rows of one feature, corpus and variant, in one transaction; nothing if they agree."""
    path, feature = data / "catalog.duckdb", recipe.folder
    which = "feature = ? AND corpus = ? AND variant = ?"
    with catalog.connect(path) as con:
        if _entered(con, feature, corpus, variant) == {a["shard"]: (a["sha256"], a["fingerprint"]) for a in about}:
            return
    with catalog.connect(path, read_only=False) as con:
        root.check_still(con, data, place)
        con.execute(SCHEMA.read_text())
        audio = audio_shards(con, corpus, variant, data)
        made_from = {a["audio_shard"]: a["fingerprint"] for a in about}
        if made_from != {shard.name: fingerprint(recipe, shard) for shard in audio}:
            raise DataError(f"{corpus}: the audio shards were written again meanwhile; run this command again")
        columns = [name for name, *_ in con.execute("DESCRIBE feature_shard").fetchall()]
        con.register("new_shard", pa.Table.from_pylist([{name: a[name] for name in columns} for a in about]))
        con.begin()
        old = f"SELECT shard FROM feature_shard WHERE {which}"
        con.execute(f"DELETE FROM feature_member WHERE shard IN ({old})", [feature, corpus, variant])
        con.execute(f"DELETE FROM feature_shard WHERE {which}", [feature, corpus, variant])
        made = (recipe.name, recipe.params, recipe.key, recipe.dtype, recipe.extractor.dim, recipe.extractor.rate_hz)
        con.execute("INSERT OR IGNORE INTO feature VALUES (?, ?, ?, ?, ?, ?, ?)", [feature, *made])
        con.execute("INSERT INTO feature_shard BY NAME SELECT * FROM new_shard")
        index.insert_members(con, "feature_member", [place / "features" / a["shard"] for a in about])
        con.commit()


def _entered(con: duckdb.DuckDBPyConnection, feature: str, corpus: str, variant: str) -> dict[str, tuple[str, str]]:
    """shard -> sha256 and fingerprint of what the catalog knows of one feature, corpus and variant."""
    if not has_features(con):
        return {}
    query = "SELECT shard, sha256, fingerprint FROM feature_shard WHERE feature = ? AND corpus = ? AND variant = ?"
    found = con.execute(query, [feature, corpus, variant]).fetchall()
    return {shard: (digest, made_of) for shard, digest, made_of in found}


def has_features(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether this catalog has the tables of feature.sql."""
    return root.has_table(con, "feature_member")
