"""Who trains and who is tested: experiments as TOML files, and the trial rows they select from a catalog."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m protocols` imports this package before its __main__
    from ingest.early import listen

    listen()

from protocols.load import load, names, own
from protocols.references import add_reference
from protocols.trials import (
    SCHEMA,
    Shortfall,
    absent_corpora,
    counts,
    fingerprint,
    obstacles,
    select,
    shortfalls,
    tested,
    trials,
)  # fmt: skip
from protocols.types import ROLES, Count, Protocol, Reference, Role

__all__ = [
    "ROLES", "SCHEMA", "Count", "Protocol", "Reference", "Role", "Shortfall", "absent_corpora", "add_reference",
    "counts", "fingerprint", "load", "names", "obstacles", "own", "select", "shortfalls", "tested",
    "trials",
]  # fmt: skip
