"""Slurm job scripts: one array task per share of the trainings, then one job that collects the results."""

import shlex
from collections.abc import Sequence

_PLACE = ("--account", "-A", "--clusters", "-M", "--partition", "-p", "--qos", "-q", "--reservation")


def script(words: Sequence[str], *, data: str, tasks: int, options: Sequence[str], python: str, folder: str) -> str:
    """A shell script for `bash` on a login node: it submits an array job and, after it, the collecting job.

    words: arguments of `python -m benchmark`, from `run` or `score` on, without --data; tasks: array tasks, each does
    every tasks-th training; options: what goes to sbatch as it is (--partition=..., --gres=gpu:1, --time=...); folder:
    where the commands run. The collecting job gets those of them that say where it runs and who pays.
    A task that dies or is pre-empted is put back into the queue, and goes on where it was.
    """
    run = shlex.join([python, "-m", "benchmark", *words, "--data", data])
    collect = shlex.join([python, "-m", "benchmark", "collect", "--data", data])
    submit = shlex.join(["sbatch", "--parsable", "--requeue", f"--array=1-{tasks}", "--job-name=siren", *options])
    after = shlex.join(["sbatch", "--job-name=siren-collect", "--kill-on-invalid-dep=yes", *_place(options)])
    return f"""#!/usr/bin/env bash
# Submits {tasks} array tasks, then a job that collects their results. Run it on a login node: bash FILE
set -euo pipefail
cd {shlex.quote(folder)}
job=$({submit} <<'TASK'
#!/usr/bin/env bash
set -euo pipefail
cd {shlex.quote(folder)}
exec {run} --part "$SLURM_ARRAY_TASK_ID/{tasks}"
TASK
)
{after} --dependency="afterany:${{job%%;*}}" <<'COLLECT'
#!/usr/bin/env bash
set -euo pipefail
cd {shlex.quote(folder)}
exec {collect}
COLLECT
"""


def _place(options: Sequence[str]) -> list[str]:
    """The options of sbatch that name an account, a partition and the like, whether `--name=x`, `--name x` or `-nx`."""
    kept: list[str] = []
    follows = False
    for word in options:
        if follows or word.partition("=")[0] in _PLACE or word[:2] in _PLACE:
            kept.append(word)
        follows = not follows and word in _PLACE
    return kept


def without(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """The words without these options and their values, given as the next word or after `=`."""
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and word not in options and word.partition("=")[0] not in options:
            kept.append(word)
        skip = not skip and word in options
    return kept
