"""A function applied to many jobs in processes that are allowed to die."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any

import cv2

__all__ = ['run_in_processes']


def run_in_processes(
    function: Callable[[Any], Any],
    jobs: Iterable[Any],
    *,
    workers: int,
    on_crash: Callable[[Any], Any],
) -> Iterator[Any]:
    """Yield ``function(job)`` for every job, in the order of completion.

    A job whose process dies (a decoder's segmentation fault, the memory
    killer) is tried once more in a process of its own, so that the same jobs
    crash with any number of workers; it then gives ``on_crash(job)``. The
    workers end with the process that started them, however that ends.

    Args:
        function: A function of a module's top level.
        jobs: Picklable arguments.
        workers: Number of processes, at least 1.
        on_crash: Called in this process.

    Raises:
        ValueError: ``workers`` is below 1.
        RuntimeError: Processes cannot be started.
        Exception: Whatever ``function`` raises; it ends the run.
    """
    if workers < 1:
        raise ValueError(f'workers is {workers}; at least 1 is needed')
    return _run_all(function, deque(jobs), workers, on_crash)


def _run_all(
    function: Callable[[Any], Any],
    waiting: deque,
    workers: int,
    on_crash: Callable[[Any], Any],
) -> Iterator[Any]:
    while waiting:
        for job in (yield from _run(function, waiting, workers)):
            if (yield from _run(function, deque([job]), 1)):
                yield on_crash(job)


def _run(
    function: Callable[[Any], Any], waiting: deque, workers: int
) -> Generator[Any, None, list]:
    """Work ``waiting`` off; return the jobs in flight if the pool breaks."""
    in_flight = {}
    pool = ProcessPoolExecutor(
        min(workers, len(waiting)), _context(), _start_worker
    )
    try:
        _check(pool)
        while waiting or in_flight:
            # twice the workers: none of them waits, and few jobs are suspect
            while waiting and len(in_flight) < 2 * workers:
                future = pool.submit(function, waiting[0])
                in_flight[future] = waiting.popleft()
            done, _ = wait(in_flight, return_when=FIRST_COMPLETED)
            for future in done:
                result = future.result()
                del in_flight[future]
                yield result
    except BrokenProcessPool:
        pass
    finally:
        pool.shutdown(cancel_futures=True)
    return list(in_flight.values())


def _check(pool: ProcessPoolExecutor) -> None:
    try:
        pool.submit(os.getpid).result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            'worker processes do not start; call this from a script file '
            "that guards its call with if __name__ == '__main__'"
        ) from error


def _context() -> multiprocessing.context.BaseContext:
    """Processes that inherit no threads and import the package only once."""
    if 'forkserver' not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context('spawn')
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([__package__])
    return context


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # a worker whose parent was killed would wait for work forever
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
