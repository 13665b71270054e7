"""Apply a function to many jobs, in processes that may die.

The processes are this machine's (:func:`run_in_processes`), or the workers of
a Dask cluster of any size (:func:`run_on_cluster`). Dask is used directly:
with its Dask backend, joblib 1.6 waits forever for a task whose worker has
died more often than Dask allows.
"""

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    ProcessPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

import cv2

from gml_mmaction.errors import SettingError
from gml_mmaction.io.text import one_line
from gml_mmaction.stack import WORKER, require

if TYPE_CHECKING:
    from distributed import Client

__all__ = ['run_in_processes', 'run_on_cluster']

# Whether this process is a command's, see _context().
in_command = False

# Does the waiting jobs; returns those whose process died.
Run = Callable[[deque], Generator[Any, None, list]]


def run_in_processes(
    function: Callable[[Any], Any],
    jobs: Iterable[Any],
    *,
    workers: int,
    on_crash: Callable[[Any], Any],
    begin: Callable[[], Any] | None = None,
) -> Iterator[Any]:
    """Yield ``function(job)`` for every job, in the order of completion.

    A job whose process dies (a decoder's segmentation fault, the memory
    killer) is tried once more in its own process, so that the same jobs
    crash with any number of workers; it then gives ``on_crash(job)``. The
    workers end with the process that started them, however that ends.

    Args:
        function: A function of a module's top level.
        jobs: Picklable arguments.
        workers: Number of processes, at least 1.
        on_crash: Called in this process.
        begin: Called first in each process: :func:`gml_mmaction.register` for
            jobs with networks. In a command nothing else does it.

    Raises:
        SettingError: ``workers`` is below 1.
        RuntimeError: Processes cannot be started.
        Exception: Whatever ``function`` raises; it ends the run.
    """
    if workers < 1:
        raise SettingError(f'workers is {workers}. Remedy: 1 or more')
    run = functools.partial(_run_here, function, workers, begin)
    return _run_all(run, deque(jobs), on_crash)


def run_on_cluster(
    function: Callable[[Any], Any],
    jobs: Iterable[Any],
    *,
    cluster: 'str | Client',
    on_crash: Callable[[Any], Any],
) -> Iterator[Any]:
    """Do as :func:`run_in_processes`, on the workers of a Dask cluster.

    Workers may come and go. If more workers died with a job than Dask allows
    (``distributed.scheduler.allowed-failures``, 3), it is tried once more
    while nothing else runs; it then gives ``on_crash(job)``.
    Scheduler and workers need this environment and these file systems. Each
    worker is one process with one thread, as the libraries that decode and
    search frames are not made for several.

    Args:
        function: A function of a module's top level.
        jobs: Picklable arguments.
        cluster: Address of the scheduler ('tcp://10.0.0.1:8786'), or a client.
        on_crash: Called in this process.

    Raises:
        ImportError: dask.distributed is missing.
        SettingError: The address is not valid, nobody answers there, the
            cluster has no workers, or a worker has several threads.
        OSError: The scheduler is gone.
        Exception: Whatever ``function`` raises; it ends the run.
    """
    client = _connect(cluster) if isinstance(cluster, str) else cluster
    run = functools.partial(_run_there, function, client)
    results = _run_all(run, deque(jobs), on_crash)
    return results if client is cluster else _closing(client, results)


_PATIENCE = 5  # seconds; workers may be about to start anew
_ADVICE = 'dask worker ADDRESS --nworkers N --nthreads 1'


def _connect(address: str) -> 'Client':
    distributed = require('distributed')
    try:
        # a client with such an address would take a minute to end
        distributed.comm.addressing.get_address_host_port(address)
    except ValueError as error:
        raise SettingError(
            f'the cluster {address!r} has no valid address ({error}). '
            'Remedy: one such as tcp://HOST:8786'
        ) from None
    try:
        client = distributed.Client(address, set_as_default=False)
    except OSError as error:
        raise SettingError(
            f'the cluster {address} does not answer ({one_line(error):.100}). '
            f'Remedy: start it there, dask scheduler and {_ADVICE}'
        ) from None
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except distributed.TimeoutError:
        client.close()
        raise SettingError(
            f'the cluster {address} has no workers. Remedy: {_ADVICE}'
        ) from None
    return client


def _closing(client: 'Client', results: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from results
    finally:
        # without its scheduler it cannot even be closed without an error
        with contextlib.suppress(Exception):
            client.close()


def _run_there(
    function: Callable[[Any], Any], client: 'Client', waiting: deque
) -> Generator[Any, None, list]:
    """Work ``waiting`` off on the cluster."""
    distributed = require('distributed')
    scheduler = client.scheduler
    assert scheduler is not None  # the client is connected
    in_flight: dict[Any, Any] = {}
    suspects = []
    done = distributed.as_completed(loop=client.loop)
    try:
        while waiting or in_flight:
            # twice the workers, who come and go: none of them waits
            room = 2 * len(client.nthreads()) or 1
            while waiting and len(in_flight) < room:
                future = client.submit(_call, function, waiting[0], pure=False)
                in_flight[future] = waiting.popleft()
                done.add(future)
            future = next(done)
            try:
                result = future.result()
            except distributed.KilledWorker:
                suspects.append(in_flight.pop(future))
                continue
            del in_flight[future]
            yield result
    except CancelledError as error:
        raise ConnectionError(
            f'the cluster {scheduler.address} is gone'
        ) from error
    finally:
        with contextlib.suppress(Exception):  # it may be gone
            client.cancel(list(in_flight))
    return suspects


def _call(function: Callable[[Any], Any], job: Any) -> Any:
    """Call ``function`` in a worker of the cluster."""
    worker = require('distributed').get_worker()
    if worker.state.nthreads > 1:
        raise SettingError(
            f'worker {worker.address} has {worker.state.nthreads} threads, '
            f'which decoders do not share. Remedy: {_ADVICE}'
        )
    cv2.setNumThreads(1)
    return function(job)


def _run_all(
    run: Run, waiting: deque, on_crash: Callable[[Any], Any]
) -> Iterator[Any]:
    while waiting:
        for job in (yield from run(waiting)):
            if (yield from run(deque([job]))):
                yield on_crash(job)


def _run_here(
    function: Callable[[Any], Any],
    workers: int,
    begin: Callable[[], Any] | None,
    waiting: deque,
) -> Generator[Any, None, list]:
    """Work ``waiting`` off until the pool breaks."""
    in_flight: dict[Future, Any] = {}
    pool = ProcessPoolExecutor(
        min(workers, len(waiting)),
        _context(function, registers=begin is not None),
        _start_worker,
        (begin,),
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


def _context(
    function: Callable, registers: bool
) -> multiprocessing.context.BaseContext:
    """Processes that inherit no threads; what they need is imported once.

    Importing the package registers networks, which takes two seconds. The
    first process of a command, from which only its own come, may do without.
    """
    if 'forkserver' not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context('spawn')
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([function.__module__])
    if in_command and not registers:
        from multiprocessing import forkserver

        os.environ[WORKER] = '1'
        try:
            forkserver.ensure_running()
        finally:
            del os.environ[WORKER]
    return context


def _start_worker(begin: Callable[[], Any] | None) -> None:
    if begin is not None:
        begin()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # a worker whose parent was killed would wait for work forever
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
