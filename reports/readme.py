"""The README's tables, written from the code that they describe: corpora and detectors."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ingest import corpora
from ingest.files import atomic
from ingest.types import DataError

README = Path(__file__).resolve().parents[1] / "README.md"
DETECTORS = README.parent / "docs" / "detectors.md"
LEADERBOARD = re.compile(r"<!-- leaderboard -->.*?<!-- /leaderboard -->", re.DOTALL)
HEAD = 8  # rows of the leaderboard that the README shows


def corpora_table() -> str:
    """One row per corpus: target, title, published counts of bona fide and spoof, licence."""
    lines = ["| target | corpus | bona fide | spoof | licence |", "|---|---|--:|--:|---|"]
    for name in corpora.names():
        corpus = corpora.get(name).corpus
        title = corpus.title + (" (songs)" if all(c.source.endswith(", songs") for c in corpus.counts) else "")
        total = {word: sum(c.rows for c in corpus.counts if c.label == word) for word in ("bonafide", "spoof")}
        cells = (f"`{name}`", title, f"{total['bonafide']:,}", f"{total['spoof']:,}", corpus.licence)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def detectors_table() -> str:
    """One row per detector: id, input, parameters, MACs, a published EER, weights that load, utterances/s measured."""
    from benchmark import detectors, throughput

    figures = throughput.table()
    head = ("id", "input", "parameters", "GMAC", "published EER %", "published weights", "train/s", "score/s")
    lines = [_row(head), _row(["---", "---", *["---:"] * 2, "---", "---", *["---:"] * 2])]
    for name in detectors.names():
        about, figure = detectors.describe(name), figures.get(name, {})
        macs, eer = figure.get("macs"), list(about["eer"].items())[:1]
        lines.append(_row((
            f"`{name}`", _input(about["input"]), f"{about['parameters']:,}" if about["parameters"] else "",
            f"{int(macs) / 1e9:.2f}" if macs else "", "".join(f"{value:g} ({where})" for where, value in eer),
            _files(about["weights"]), figure.get("train_per_s", ""), figure.get("score_per_s", ""),
        )))  # fmt: skip
    return "\n".join([*lines, "", _caption(figures.values())])


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _input(spec: Any) -> str:
    return f"{spec.feature}, {spec.samples:,}" if spec.samples else f"{spec.feature}, whole"


def _files(weights: str) -> str:
    """The names without what stands in brackets (release, licence)."""
    return re.sub(r" \([^)]*\)", "", weights)


def _caption(figures: Iterable[Mapping[str, str]]) -> str:
    """Under the table: what its columns mean, and on which machine the figures were measured."""
    machines = sorted({f"{f['device']}, {f['threads']} thread" + "s" * (f["threads"] != "1") for f in figures})
    return (
        "Input: feature and samples at 16 kHz. GMAC: 10^9 multiply-accumulates of scoring one clip of that length "
        "(64,600 samples for whole utterances), front end and LSTMs left out. EER: one published figure; all of them, "
        "sources and licences are in [docs/detectors.md](docs/detectors.md). train/s and score/s: utterances a second "
        "of CPU time per thread, full size, random weights, quick form, float32 "
        f"({'; '.join(machines)}); `python -m benchmark throughput` measures your machine."
    )


def detectors_page() -> str:
    """docs/detectors.md: every detector's source, published EERs, weights, form and recipe in brief."""
    from benchmark import detectors, level, throughput

    head = ("id", "source", "published EER %", "published weights", "quick form")
    lines = [_row(head), _row(["---"] * len(head))]
    for name in detectors.names():
        about = detectors.describe(name)
        eers = "; ".join(f"{where} {value:g}" for where, value in about["eer"].items())
        lines.append(_row((f"`{name}`", about["paper"], eers, about["weights"], about["form"])))
    heard = {
        how: [name for name in detectors.names() if detectors.get(name).INPUT.level == how] for how in level.LEVELS
    }
    heard = {how: ", ".join(f"`{name}`" for name in found) for how, found in heard.items()}
    batches = {int(figure["batch_size"]) for figure in throughput.table().values()}
    measured = f"The README's utterances/s were measured in batches of {' or '.join(map(str, sorted(batches)))}."
    return DETECTORS_PAGE.format(table="\n".join(lines), measured=measured, **heard)


DETECTORS_PAGE = """# Detectors

Written by `make readme` from `benchmark/detectors/`. What each reads, costs and weighs is in the README's table.

{table}

Published EERs are the papers' own, in percent, on the test sets that they name.

## Weights

Nothing is downloaded: you bring the files, of two kinds.

- **A trained detector** (`AASIST.pth`): `benchmark score --weights FILE` scores it as it is,
  `benchmark run --weights FILE` trains on from it.
- **A pretrained part** that training begins with (a backbone, a trunk): it is found in the caches of Hugging Face and
  torch.hub, or named by `--set DETECTOR.weights=PATH`. `DETECTOR.weights=random` begins without. A cell that lacks it
  fails with a line that says which file it wants.

## Level

Most networks hear clips as loud as they are stored, as published. Those of singing hear them divided by the peak of the
whole clip before it is cut (`level` in the input of `run.json`: `clip_peak`): {clip_peak};
or by the peak of what was cut (`crop_peak`): {crop_peak}.
Training, scoring, `detect` and the page hear the same; an exported `model.onnx` begins after it. `--set level=as_is`
(or one of the two) changes it.

## Forms

A run computes each detector in its quick form: maps tile by tile (AASIST, RawGAT-ST and their kin, in float32 on a
CPU), channels innermost in memory where that was measured to be quicker, fused attention in transformers.
`--set fast=false` is the plain form: eager operations in the published order on contiguous maps, attention as a
product, a softmax and a product. Both compute the same function; `python -m benchmark forms` compares them on the clips
of a catalog. `run.json` says in `form` which one a run used, and in `config.training.precision` the precision (float32
unless a recipe says otherwise). {measured}

Autocast and `torch.compile` are no part of it. Measured on a CPU (notes of performance.md), a compiler gained nothing
that channels last does not give and refused 4 of 11 detectors; bfloat16 trained 24 detectors 1.2 to 2.7 times faster,
but recipes train in float32 where the papers do. `--set precision=bfloat16` trains under autocast. What either brings
here is measured by `python -m benchmark throughput --form fast channels_last bfloat16 compiled` and
kept in the table `throughput`.
"""


def filled(text: str) -> str:
    """The README with every generated part replaced by what the code says now."""
    for name, table in (("corpora", corpora_table), ("detectors", detectors_table)):
        part = re.compile(rf"<!-- {name} -->.*?<!-- /{name} -->", re.DOTALL)
        text, found = part.subn(lambda _: f"<!-- {name} -->\n{table()}\n<!-- /{name} -->", text)  # noqa: B023
        if found != 1:
            raise ValueError(f"README.md must hold one part <!-- {name} --> ... <!-- /{name} -->, has {found}")
    return text


def head(page: str) -> str:
    """The first HEAD rows of the overview of a leaderboard.md, after what it says of its data."""
    opening, _, rest = page.partition("\n## Overview\n")
    table = re.search(r"(?:^\|[^\n]*\|\n)+", rest, re.MULTILINE)
    if table is None:
        raise DataError("the leaderboard has no overview: no run has finished; python -m benchmark run")
    notes = [line for line in opening.splitlines() if line.startswith("> ")]
    rows = table[0].splitlines()
    more = len(rows) - 2 - HEAD
    told = f"The first {HEAD} of {len(rows) - 2} rows" if more > 0 else "The whole table"
    told += "; EER in percent by scenario. `≈ rank`: the best rank whose EER the interval holds."
    return "\n\n".join([*notes, "\n".join(rows[: 2 + HEAD]), told])


def write(data: Path | None = None) -> None:
    """Bring README.md and docs/detectors.md up to date; data: put the head of that folder's leaderboard into it, too.

    Raises DataError when no run has finished in `data`.
    """
    readme = README.read_text()
    if data is not None:
        from reports import leaderboard

        told = head(leaderboard.write(data).read_text())
        readme = LEADERBOARD.sub(lambda _: f"<!-- leaderboard -->\n{told}\n<!-- /leaderboard -->", readme)
    for path, text in ((README, filled(readme)), (DETECTORS, detectors_page())):
        with atomic(path) as temporary:
            temporary.write_text(text)
