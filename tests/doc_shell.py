"""A clone of the project in a scratch folder where shell blocks of the documentation run as a user types them.

`python` there is a few lines that hand the command to a fork_server: the shell, make, arguments, files, exit codes and
output are the real ones, without seconds of imports for each command.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import forks

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ingest", "protocols", "shards", "features", "benchmark", "reports")
FILES = ("Makefile", "pyproject.toml", "requirements.lock", "requirements-setup.lock", "README.md", "mkdocs.yml")
PARSE_ONLY = "DOC_PARSE_ONLY"

_SHIM = """#!{python} -IS
import json, os, socket, sys
words = sys.argv[1:]
if words[:1] != ["-m"] or words[1].split(".")[0] not in {packages}:
    os.execv({python!r}, [{python!r}, *words])
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
asked = dict(words=words[1:], folder=os.getcwd(), environment=dict(os.environ), one_processor=True)
said = json.dumps(asked).encode()
socket.send_fds(server, [len(said).to_bytes(4, "big")], [0, 1, 2])
server.sendall(said)
_pid, code = (int.from_bytes(server.recv(4, socket.MSG_WAITALL), "big", signed=True) for _ in range(2))
sys.exit(code if code >= 0 else 128 - code)
"""


class Clone:
    """The scratch clone and the process behind its `python`."""

    def __init__(self, folder: Path):
        self.folder, self.home = folder / "siren", folder / "home"
        self.home.mkdir(parents=True)
        for name in (*PACKAGES, "docs"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy(ROOT / name, self.folder / name)
        self.address = folder / "s"
        self._virtual_environment()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "PYTHONPATH": str(self.folder)}
        environment.pop("DATA", None)
        self.server = forks.start(self.address, self.folder, os.getpid(), environment)

    def _virtual_environment(self) -> None:
        locks = b"".join((self.folder / name).read_bytes() for name in ("requirements.lock", "requirements-setup.lock"))
        bin_ = self.folder / ".venv" / "bin"
        bin_.mkdir(parents=True)
        (self.folder / f".venv/ready-{hashlib.sha256(locks).hexdigest()[:16]}").touch()
        shim = bin_ / "python"
        shim.write_text(_SHIM.format(python=sys.executable, packages=PACKAGES, address=str(self.address)))
        shim.chmod(0o755)

    def run(self, script: str, *, parse_only: bool = False) -> subprocess.CompletedProcess:
        """Run a script with bash in the clone; it stops at the first command that fails."""
        environment = {
            "PATH": f"{self.folder}/.venv/bin:{os.environ['PATH']}", "HOME": str(self.home), "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "TMPDIR": str(self.home.parent),
            **({PARSE_ONLY: "1"} if parse_only else {}),
        }  # fmt: skip
        return subprocess.run(
            ["bash", "-c", f"set -euo pipefail\n{script}"], cwd=self.folder, env=environment, capture_output=True,
            text=True, timeout=300, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def close(self) -> None:
        self.server.terminate()
        self.server.wait(10)


def lay_out(data: Path, to: Path) -> None:
    """Copy a data folder; what is never written in place (tars, weights, scores) is linked."""
    if to.exists():
        shutil.rmtree(to)
    fixed = (".tar", ".parquet", ".safetensors")
    shutil.copytree(data, to, copy_function=lambda a, b: os.link(a, b) if a.endswith(fixed) else shutil.copy2(a, b))
