"""What tests of many processes share."""

import contextlib
import logging

import pytest

from gml_mmaction.io.pool import run_in_processes


@pytest.fixture(scope='session')
def start_cluster():
    """Start a Dask cluster of processes.

    Its workers are forked from a process that has imported the package, which
    takes seconds; and the first death of a worker is held against the jobs
    that it had, not the fourth.
    """
    distributed = pytest.importorskip('distributed')
    import dask

    assert list(run_in_processes(abs, [-1], workers=1, on_crash=print)) == [1]
    settings = {
        'distributed.worker.multiprocessing-method': 'forkserver',
        'distributed.scheduler.allowed-failures': 0,
    }
    with contextlib.ExitStack() as stack:

        def start(workers=2, threads=1):
            cluster = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=threads,
                dashboard_address=':0',
                silence_logs=logging.CRITICAL,
            )
            return stack.enter_context(cluster)

        with dask.config.set(settings):
            yield start


@pytest.fixture(scope='session')
def cluster(start_cluster):
    """Return a Dask cluster of two worker processes."""
    return start_cluster()
