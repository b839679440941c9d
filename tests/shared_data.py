"""Where the real material lies that some tests read in place; users do not have it, so such tests skip."""

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("SIREN_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"


def shared(*parts: str) -> Path:
    """The path of one item of the shared material; skips the calling test where it is absent."""
    path = ROOT.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs the shared research material ({'/'.join(parts)}), which is not part of the project")
    return path
