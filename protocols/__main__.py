"""`python -m protocols list | show NAME | audit`: what can be run, on which trials, and what is wrong with them."""

if __name__ == "__main__":  # before the imports below, which take a while
    from ingest.early import listen

    listen()


import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import duckdb

import protocols
from ingest.catalog import connect, without_audio
from ingest.cli import Parser, add_data, run
from ingest.types import DataError
from protocols.audit import Report, audit, balance, shared_audio
from protocols.labels import doubts
from protocols.types import Protocol, Role, role_label

_EXAMPLES = """examples:
  python -m protocols list
  python -m protocols show cross_method/librisevoc
  python -m protocols audit --all --json
"""


def main(argv: Sequence[str] | None = None) -> int | None:
    """Parse the command line and run one command; 1 if the audit finds a failure."""
    parser = Parser(prog="python -m protocols", description=__doc__, epilog=_EXAMPLES)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in {
        "list": "every protocol and whether this catalog can run it",
        "show": "role x subset x label counts of one protocol, next to the stated ones",
        "audit": "overlaps of roles, counts, empty subsets, exchanged labels, shortcuts; exit code 1 on a failure",
    }.items():
        command = commands.add_parser(name, help=text, description=text, epilog=_EXAMPLES)
        add_data(command)
        command.add_argument("--protocols", type=Path, metavar="DIR",
                             help="folder with protocols of your own (default: DATA/protocols)")  # fmt: skip
        command.add_argument("--lists", type=Path, metavar="DIR", help="folder with trial lists (default: DATA/lists)")
        command.add_argument("--json", action="store_true", help="print JSON")
        if name == "show":
            command.add_argument("name", metavar="NAME", help="protocol id, e.g. inner/librisevoc")
        if name == "audit":
            command.add_argument("names", metavar="NAME", nargs="*", help="protocol ids")
            command.add_argument("--all", action="store_true", help="every protocol that this catalog can run")
            command.add_argument("--partial", action="store_true", help="audit what is there of absent corpora")
    given = parser.parse_args(argv)
    if given.protocols is not None and not given.protocols.is_dir():
        raise DataError(f"--protocols {given.protocols} is not a folder")
    given.protocols = given.protocols or protocols.own(given.data)
    return {"list": _list, "show": _show, "audit": _audit}[given.command](given)


def _connect(data: Path) -> duckdb.DuckDBPyConnection:
    """The catalog, read-only and shut off from every other file."""
    con = connect(data / "catalog.duckdb", read_only=True)
    con.execute("SET enable_external_access = false")
    return con


def _list(given: object) -> None:
    con = _connect(given.data) if (given.data / "catalog.duckdb").exists() else None
    partial = {} if con is None else _partial(con, without_audio(given.data))
    table = []
    for name in protocols.names(given.protocols):
        protocol = protocols.load(name, given.protocols)
        missing = (
            [f"corpus {corpus}" for corpus in sorted(protocol.needs)] if con is None
            else protocols.obstacles(con, protocol, given.lists)
        )  # fmt: skip
        parts = [words for corpus, words in partial.items() if corpus in protocol.needs]
        table.append({"protocol": name, "scenario": protocol.scenario, "title": protocol.title, "missing": missing,
                      "partial": parts})  # fmt: skip
    if given.json:
        print(json.dumps(table, indent=1))
        return
    wide = max(len(row["protocol"]) for row in table)
    for row in table:
        state = "runnable" if not row["missing"] else f"needs {', '.join(row['missing'])}"
        state += f"; partial: {', '.join(row['partial'])}" if row["partial"] else ""
        print(f"{row['protocol']:{wide}}  {row['scenario']:14}  {row['title']} [{state}]")


def _partial(con: duckdb.DuckDBPyConnection, silent: set[str]) -> dict[str, str]:
    """Partial corpora as they are listed; of those in `silent` there is no audio."""
    found = con.execute("SELECT corpus FROM corpus WHERE partial ORDER BY corpus").fetchall()
    return {corpus: f"{corpus} without audio" if corpus in silent else corpus for (corpus,) in found}


def _show(given: object) -> None:
    protocol = protocols.load(given.name, given.protocols)
    con = _connect(given.data)
    rows, short = protocols.select(con, protocol, lists=given.lists)
    table = balance(rows, protocol)
    missing = protocols.obstacles(con, protocol, given.lists)
    state = _state(con, protocol)
    if given.json:
        about = {"protocol": protocol.name, "title": protocol.title, "scenario": protocol.scenario}
        about |= {"source": protocol.source, "note": protocol.note, "missing": missing, "corpora": state}
        short = [asdict(entry) for entry in short]
        print(json.dumps(about | {"trials": table, "without_audio": short}, indent=1))
        return
    print(f"{protocol.name}: {protocol.title}\nscenario  {protocol.scenario}\nsource    {protocol.source}")
    if protocol.note:
        print(f"note      {protocol.note}")
    print(f"metrics   {', '.join(protocol.metrics)}")
    if missing:
        print(f"missing   {', '.join(missing)}")
    for corpus, words in state.items():
        print(f"corpus    {corpus}: {words}")
        for remark in _lacking(con, corpus) if "partial" in words else ():
            print(f"          {remark}")
    print()
    _print_counts(protocol, table)
    for entry in short:
        lost = "" if entry.trials is None else f"{entry.trials} {entry.label} trials left out, "
        print(f"{role_label(entry.role, entry.subset)}: {lost}{entry.why}")


def _print_counts(protocol: Protocol, table: list[dict]) -> None:
    wide = max(len("role.subset"), *(len(role.label) for role in protocol.roles))
    print(f"{'role.subset':{wide}}  {'bonafide':>9}  {'spoof':>9}  stated (complete corpora)")
    for role, row in zip(protocol.roles, table):
        print(f"{role.label:{wide}}  {row['bonafide']:>9,}  {row['spoof']:>9,}  {_stated(role)}".rstrip())
    for kind, groups in (("mean of EERs", protocol.averages), ("pooled", protocol.pooled)):
        for name, members in groups.items():
            print(f"{name}: {kind} of {', '.join(members)}")


def _stated(role: Role) -> str:
    if role.count is None:
        return ""
    return f"{role.count.bonafide:,} / {role.count.spoof:,}{'' if role.count.exact else ' ~'}"


def _state(con: duckdb.DuckDBPyConnection, protocol: Protocol) -> dict[str, str]:
    """Corpus -> complete, partial, simulated or absent, for those that the protocol names."""
    found = {name: (partial, simulated) for name, partial, simulated in
             con.execute("SELECT corpus, partial, simulated FROM corpus").fetchall()}  # fmt: skip
    words = {}
    for name in sorted(protocol.needs):
        partial, simulated = found.get(name, (False, False))
        kinds = [word for word, holds in (("partial", partial), ("simulated", simulated)) if holds]
        words[name] = "absent" if name not in found else ", ".join(kinds) or "complete"
    return words


def _lacking(con: duckdb.DuckDBPyConnection, corpus: str) -> list[str]:
    """What a partial corpus lacks, as its ingest found it: rows of the published counts, audio, songs."""
    counts = con.execute(
        "SELECT concat_ws(' ', \"partition\", group_value, label), found, expected FROM expected_count "
        "WHERE corpus = ? AND grade <> 'U' AND expected <> found ORDER BY rowid",
        [corpus],
    ).fetchall()
    found = con.execute(
        "SELECT CASE kind WHEN 'missing' THEN 'no audio: ' ELSE '' END || detail FROM finding "
        "WHERE corpus = ? AND kind IN ('missing', 'note') ORDER BY rowid",
        [corpus],
    ).fetchall()
    return [f"{what}: {there:,} of {due:,} rows" for what, there, due in counts] + [detail for (detail,) in found]


def _audit(given: object) -> int:
    if bool(given.names) == given.all:
        raise DataError("name the protocols to audit, or pass --all")
    con = _connect(given.data)
    chosen = [protocols.load(name, given.protocols) for name in given.names or protocols.names(given.protocols)]
    reports, states, skipped = [], {}, {}
    parts = [part for protocol in chosen for role in protocol.roles for part in role.parts]
    named = all(part.needs for part in parts)  # else any corpus of the catalog may be meant
    doubted = doubts(con, set().union(*(part.needs for part in parts)) if named else None)
    for protocol in chosen:
        missing = protocols.obstacles(con, protocol, given.lists)
        if missing and given.all:
            skipped[protocol.name] = missing
            continue
        if missing and not given.partial:
            raise DataError(f"{protocol.name} needs {', '.join(missing)}; add --partial to audit what is there")
        reports.append(audit(con, protocol, lists=given.lists, doubted=doubted))
        states[protocol.name] = _state(con, protocol)
    catalog = [asdict(finding) for finding in shared_audio(con)]
    failed = [report.protocol for report in reports if report.failed]
    if given.json:
        told = [asdict(report) | {"corpora": states[report.protocol]} for report in reports]
        answer = {"protocols": told, "catalog": catalog}
        print(json.dumps(answer | {"skipped": skipped, "failed": failed}, indent=1))
    else:
        _print_audit(reports, states, catalog, skipped)
    return 1 if failed else 0


def _print_audit(
    reports: list[Report], states: dict[str, dict[str, str]], catalog: list[dict], skipped: dict[str, list[str]]
) -> None:  # fmt: skip
    for report in reports:
        marks = [f"{corpus} {words}" for corpus, words in states[report.protocol].items() if words != "complete"]
        levels = [finding.level for finding in report.findings]
        state = ", ".join(f"{levels.count(word)} {word}" for word in ("fail", "flag", "declared") if word in levels)
        mark = f" ({'; '.join(marks)})" if marks else ""
        print(f"{report.protocol}{mark}: {state or 'clean'}")
        for finding in report.findings:
            print(f"  {finding.level:8}  {finding.kind:17}  {finding.where}: {finding.detail}")
        for row in report.trials:
            ratio = row["spoof_per_bonafide"]
            print(f"  {role_label(row['role'], row['subset'])}: {row['bonafide']:,} bona fide, {row['spoof']:,} spoof"
                  + (f" (1 : {ratio:g})" if ratio is not None else ""))  # fmt: skip
    for finding in catalog:
        print(f"catalog  {finding['level']:8}  {finding['detail']}")
    for name, missing in skipped.items():
        print(f"not audited: {name} needs {', '.join(missing)}")


if __name__ == "__main__":
    run(main)
