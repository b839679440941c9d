"""The stages, the command of each as a user types it, what it starts from and what it reads."""

from dataclasses import dataclass
from pathlib import Path

CELLS = ("--protocol", "inner/librisevoc", "--detector", "mean_pool", "--seed", "0", "1", "--set", "epochs=2",
         "batch_size=16", "--device", "cpu")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stage:
    """One command of one stage.

    after: the stages whose commands made what it starts from; reads: globs below the sandbox of files that are its input;
    gone: globs below data/ of what is taken away first, so that there is something to do; scales: works on an object
    store when the shards lie there, and on a cluster.
    """

    name: str
    words: tuple[str, ...]
    after: tuple[str, ...]
    reads: tuple[str, ...]
    gone: tuple[str, ...] = ()
    scales: bool = False
    jobs: bool = False


CATALOG = "data/catalog.duckdb"
AUDIO = "corpora/librisevoc/*/*.wav"
STAGES = (
    Stage("ingest", ("ingest", "librisevoc", "--root", "{sandbox}/corpora/librisevoc"), (),
          (AUDIO, "corpora/librisevoc/*.txt"), jobs=True),
    Stage("shards", ("shards", "librisevoc", "--max-bytes", "100000"), ("ingest",), (AUDIO, CATALOG), scales=True,
          jobs=True),
    Stage("variants", ("shards", "variants", "librisevoc", "--plan", "{sandbox}/two.toml", "--max-bytes", "100000"),
          ("ingest", "shards"), (AUDIO, CATALOG, "two.toml"), scales=True, jobs=True),
    Stage("vocals", ("shards", "vocals", "librisevoc", "--model", "{sandbox}/demucs", "--max-bytes", "100000"),
          ("ingest", "shards"), (AUDIO, CATALOG, "demucs/small.th"), scales=True),
    Stage("features", ("features", "librisevoc", "--feature", "logmel"), ("ingest", "shards"),
          ("data/shards/*/*.tar", "data/shards/*/*.index.parquet", CATALOG), scales=True, jobs=True),
    Stage("train", ("benchmark", "run", *CELLS), ("ingest", "shards"),
          ("data/shards/*/*.tar", CATALOG), scales=True, jobs=True),
    Stage("score", ("benchmark", "run", *CELLS), ("ingest", "shards", "train"),
          ("data/shards/*/*.tar", "data/models/*/model.safetensors", "data/models/*/train.json", CATALOG),
          gone=("scores", "plans", "results.duckdb"), scales=True, jobs=True),
    Stage("collect", ("benchmark", "collect"), ("ingest", "shards", "train"),
          ("data/scores/*/run.json", "data/scores/*/scores.parquet", "data/scores/*/curve.parquet",
           "data/scores/*/asv.json"), gone=("results.duckdb",)),
    Stage("report", ("reports", "leaderboard"), ("ingest", "shards", "train"),
          ("data/results.duckdb", "data/scores/*/run.json", CATALOG)),
    Stage("report", ("reports", "site"), ("ingest", "shards", "train"), ("data/results.duckdb", CATALOG)),
    Stage("report", ("reports", "figures"), ("ingest", "shards", "train"),
          ("data/results.duckdb", "data/scores/*/scores.parquet")),
)  # fmt: skip
NAMES = tuple(dict.fromkeys(stage.name for stage in STAGES))


def command(words: tuple[str, ...], sandbox: Path, *, jobs: int | None = None) -> tuple[str, ...]:
    """The words with the sandbox's paths in them."""
    written = [word.format(sandbox=sandbox) for word in words]
    return (*written, *(("--jobs", str(jobs)) if jobs else ()), "--data", str(sandbox / "data"))
