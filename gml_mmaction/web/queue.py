"""A queue with one worker: videos are analysed one after another."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

__all__ = ['Job', 'JobQueue', 'StoppedError']

Progress = Callable[[int, int], None]


class StoppedError(Exception):
    """Nobody waits for the result any longer."""


class Job:
    """A task in the queue; the worker writes it, the page reads it.

    Attributes:
        frames: Frames done and frames in all; (0, 0) before the first.
        state: One of ``'waiting'``, ``'running'``, ``'done'``, ``'failed'``
            and ``'stopped'``.
        result: What the task returned, once it is done.
        error: What a failed task raised.
    """

    def __init__(self, task: Callable[[Progress], Any]) -> None:
        self._task = task
        self._stop = threading.Event()
        self.frames = (0, 0)
        self.state = 'waiting'
        self.result: Any = None
        self.error: Exception | None = None

    @property
    def ended(self) -> bool:
        """Whether the worker has finished with it."""
        return self.state in ('done', 'failed', 'stopped')

    def stop(self) -> None:
        """Let the task end at its next report, or not begin at all."""
        self._stop.set()

    def report(self, done: int, total: int) -> None:
        """Take note of the progress.

        Raises:
            StoppedError: The job was stopped.
        """
        if self._stop.is_set():
            raise StoppedError
        self.frames = (done, total)

    def run(self) -> None:
        """Do the task; its exceptions end up in ``error``."""
        try:
            self.report(0, 0)
            self.state = 'running'
            self.result = self._task(self.report)
            self.state = 'done'
        except StoppedError:
            self.state = 'stopped'
        except Exception as error:  # the worker has to go on with the next
            self.error = error
            self.state = 'failed'


class JobQueue:
    """Jobs, first come, first served, in a thread of their own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix='analysis')
        self._jobs: list[Job] = []

    def put(self, task: Callable[[Progress], Any]) -> Job:
        """Add a task, which is called with a function for its progress."""
        job = Job(task)
        self._jobs = [one for one in self._jobs if not one.ended] + [job]
        self._pool.submit(job.run)
        return job

    def ahead(self, job: Job) -> int:
        """How many jobs have to end before this one begins."""
        before = self._jobs[: self._jobs.index(job)]
        return sum(not one.ended for one in before)

    def close(self) -> None:
        """Stop all jobs and wait for the one that runs."""
        for job in self._jobs:
            job.stop()
        self._pool.shutdown()
