"""What a table rests on: its corpora with their licences, its detectors, its metrics; and how to cite them.

python -m reports cite gives BibTeX of the works behind all finished runs, or behind those of some protocols, detectors
and metrics. Keys are resolved in works.bib (corpora, metrics) and in benchmark/citations.bib (detectors).
"""

import ast
import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmark import settings
from ingest import corpora
from ingest.types import DataError, nearest
from protocols.load import load, names
from reports import sql

CORPORA = {
    "asvspoof2019_la": "wang2020asvspoof2019", "asvspoof2021_la": "liu2023asvspoof2021",
    "asvspoof2021_df": "liu2023asvspoof2021", "asvspoof5": "wang2024asvspoof5", "wavefake": "frank2021wavefake",
    "librisevoc": "sun2023vocoder", "decro": "ba2023decro", "in_the_wild": "muller2022inthewild",
    "ctrsvdd": "zang2024ctrsvdd", "singfake": "zang2024singfake",
}  # fmt: skip
METRICS = {
    "eer": "martin1997det", "auc": "hanley1982auc", "cllr": "brummer2006cllr", "min_dcf": "wang2024asvspoof5",
    "act_dcf": "wang2024asvspoof5", "a_dcf": "shim2024adcf", "t_eer": "kinnunen2023teer",
    "min_tdcf_2019": "kinnunen2018tdcf", "min_tdcf_2021": "kinnunen2020tdcf",
}  # fmt: skip
BOOKS = (Path(__file__).with_name("works.bib"), Path(settings.__file__).with_name("citations.bib"))


@functools.cache
def entries() -> dict[str, str]:
    """Key -> BibTeX entry of both files."""
    found: dict[str, str] = {}
    for book in BOOKS:
        found |= {m[1]: m[0] for m in re.finditer(r"^@\w+\{(\w+),\n.*?^\}\n", book.read_text(), re.M | re.S)}
    return found


@functools.cache
def corpora_of(protocol: str) -> tuple[str, ...]:
    """The corpora that the protocol's predicates name, sorted; none for a protocol that is not among ours."""
    if protocol not in names():
        return ()
    words = set(re.findall(r"'(\w+)\\?'", repr(load(protocol))))
    return tuple(name for name in corpora.names() if name in words)


def licences(protocol: str) -> str:
    """The protocol's corpora with their licences, as a sentence; "" where they are not known."""
    told = [corpora.get(name).corpus for name in corpora_of(protocol)]
    return "; ".join(f"{corpus.title} ({corpus.licence})" for corpus in told)


@functools.cache
def known(protocol: str) -> tuple[str, ...]:
    """What to know beside its figures, one line each: its note, and the overlaps that it declares.

    None for a protocol that is not among Siren's own.
    """
    if protocol not in names():
        return ()
    found = load(protocol)
    overlaps = [
        " ".join(
            word for word in (d.pair, d.subset and f"test.{d.subset}", f"{', '.join(d.kinds)} ({d.reason})") if word
        )
        for d in found.declares
    ]
    told = [f"Note: {found.note}."] if found.note else []
    return (*told, *([f"Overlaps that it has on purpose: {'; '.join(overlaps)}."] if overlaps else []))


@functools.cache
def weights_of(detector: str) -> str:
    """The published weights that a detector can start from, with their licence, as its file says; "" if none.

    Read without importing the detector, which would load torch.
    """
    return _constant(detector, "WEIGHTS")


@functools.cache
def _constant(module: str, name: str, of: str = "build") -> str:
    """A constant of a class in the detector's file, or of its bases, wherever they stand; "" if there is none."""
    path = Path(settings.__file__).with_name("detectors") / f"{module}.py"
    if not path.is_file():
        return ""
    tree = ast.parse(path.read_bytes())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    origin = {
        alias.asname or alias.name: node.module.rpartition(".")[2]
        for node in tree.body if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }  # fmt: skip
    aliases = {
        node.targets[0].id: ast.unparse(node.value)
        for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }  # fmt: skip
    waiting = [aliases.get(of, of)]
    while waiting:
        word = waiting.pop(0)
        if word not in classes:
            if word in origin and (found := _constant(origin[word], name, word)):
                return found
            continue
        for node in classes[word].body:
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            if isinstance(target, ast.Name) and target.id == name:
                return str(ast.literal_eval(node.value))
        waiting += [ast.unparse(base) for base in classes[word].bases]
    return ""


def keys(
    data: Path, protocols: Sequence[str] = (), detectors: Sequence[str] = (), metrics: Sequence[str] = ()
) -> list[str]:
    """The sorted keys of the works behind DATA's finished runs, or behind the chosen part of them.

    Raises DataError for a protocol, detector or metric without results.
    """
    with sql.connect(data, "results") as con:
        found = {
            "protocol": (protocols, "SELECT DISTINCT protocol FROM current_run"),
            "detector": (detectors, "SELECT DISTINCT detector FROM current_run"),
            "metric": (metrics, "SELECT DISTINCT metric FROM leaderboard"),
        }
        for what, (chosen, query) in found.items():
            known = [row[0] for row in con.execute(query).fetchall()]
            for word in chosen:
                if word not in known:
                    raise nearest(word, known, what=f"{what} with results")
        rows = con.execute(
            "SELECT DISTINCT protocol, detector, metric FROM leaderboard WHERE "
            "($p = [] OR protocol IN (FROM unnest($p))) AND ($d = [] OR detector IN (FROM unnest($d))) "
            "AND ($m = [] OR metric IN (FROM unnest($m)))",
            {"p": list(protocols), "d": list(detectors), "m": list(metrics)},
        ).fetchall()
    if not rows:
        raise DataError(
            f"{data} holds no result of that choice; python -m reports sql 'FROM current_run' lists the runs"
        )
    works = {CORPORA[corpus] for row in rows for corpus in corpora_of(row[0])}
    works |= {METRICS[row[2]] for row in rows if row[2] in METRICS}
    works |= {key for name in {row[1] for row in rows} if (key := _constant(name, "CITATION"))}
    return sorted(works)


def bibtex(works: Iterable[str]) -> str:
    """The entries of these keys."""
    return "\n".join(entries()[key] for key in works)
