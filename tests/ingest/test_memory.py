"""What freed blocks cost, counted in page faults: the same on a quiet machine and on a loaded one."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from ingest import memory
if sys.argv[1] == "keep":
    memory.keep_freed()
np.ones(1 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    first, second = np.ones(1 << 20), np.ones(1 << 20)
    del first, second
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")
def test_a_block_that_was_freed_is_taken_again_without_a_page_fault():
    def faults(how):
        return int(
            subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout
        )

    assert faults("keep") * 10 < faults("leave")


PEAK = """
import subprocess, sys
from ingest import memory
held = bytearray(200 << 20)
held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])
told = subprocess.run([sys.executable, "-c", "from ingest import memory; print(memory.peak_bytes())"],
                      capture_output=True, text=True, check=True)
print(memory.peak_bytes(), told.stdout)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not tell them apart")
def test_the_peak_is_of_this_program_not_of_what_started_it():
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    own, child = map(int, done.stdout.split())
    assert own > 200 << 20 > 5 * child > 0
