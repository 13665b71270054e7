"""The C library's memory: kept from one step to the next."""

import platform
import subprocess
import sys

import pytest
from tiny import REPO

glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != 'glibc', reason='for glibc'
)
PATH = str(REPO / 'gml_mmaction/host/allocator.py')
# Page faults of ten blocks of 64 MiB that are written and freed in turn.
COUNT = """
import resource, runpy
import numpy as np
keep_memory = runpy.run_path({path!r})['keep_memory']  # without PyTorch
print(keep_memory() if {keep} else None)
np.ones(2**23)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
for _ in range(10):
    np.ones(2**23)
print(faults() - before)
"""


def count(keep, **environment):
    found = subprocess.run(
        [sys.executable, '-c', COUNT.format(keep=keep, path=PATH)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    said, faults = found.stdout.split()
    return said, int(faults)


@glibc
def test_freed_memory_is_used_again():
    _, as_it_is = count(False)
    said, kept = count(True)
    assert said == 'True'
    assert kept < as_it_is / 10


@glibc
@pytest.mark.parametrize(
    'told',
    [
        {'MALLOC_MMAP_THRESHOLD_': '1000000'},
        {'GLIBC_TUNABLES': 'glibc.malloc.arena_max=2'},
    ],
    ids=lambda told: next(iter(told)),
)
def test_a_process_that_was_told_how_to_allocate_is_left_as_it_is(told):
    said, faults = count(True, **told)
    assert said == 'False'
    assert faults == pytest.approx(count(False, **told)[1], rel=0.1)
