"""One worker, and those who wait for it."""

import threading

import pytest

from gml_mmaction.web.queue import JobQueue


@pytest.fixture
def queue():
    queue = JobQueue()
    yield queue
    queue.close()


def hold(queue):
    """Put a job that runs until its event is set."""
    begun, leave = threading.Event(), threading.Event()

    def task(progress):
        begun.set()
        while not leave.wait(0.01):
            progress(1, 2)
        return 'left'

    job = queue.put(task)
    assert begun.wait(10)
    return job, leave


def test_jobs_are_done_one_at_a_time_in_their_order(queue, wait_for):
    log = []

    def task(name):
        def do(progress):
            log.append(f'{name} begins')
            progress(1, 1)
            log.append(f'{name} ends')
            return name

        return do

    jobs = [queue.put(task(name)) for name in 'abc']
    wait_for(lambda: all(job.ended for job in jobs))
    assert [job.result for job in jobs] == ['a', 'b', 'c']
    assert log == [
        f'{name} {what}' for name in 'abc' for what in ('begins', 'ends')
    ]


def test_a_job_knows_how_many_are_before_it(queue, wait_for):
    first, leave = hold(queue)
    second, third = (queue.put(lambda progress: None) for _ in range(2))
    ahead = [queue.ahead(job) for job in (first, second, third)]
    leave.set()
    wait_for(lambda: third.ended)
    assert ahead == [0, 1, 2]
    assert queue.ahead(third) == 0


def test_a_running_job_ends_at_its_next_report_once_stopped(queue, wait_for):
    job, _ = hold(queue)
    wait_for(lambda: job.frames == (1, 2))
    job.stop()
    wait_for(lambda: job.ended)
    assert job.state == 'stopped'


def test_a_waiting_job_that_was_stopped_never_begins(queue, wait_for):
    first, leave = hold(queue)
    begun = []
    second = queue.put(lambda progress: begun.append(1))
    second.stop()
    leave.set()
    wait_for(lambda: second.ended)
    assert (first.state, second.state, begun) == ('done', 'stopped', [])


def test_a_task_that_fails_does_not_keep_the_next_from_its_turn(
    queue, wait_for
):
    def fail(progress):
        raise RuntimeError('broken')

    bad, good = queue.put(fail), queue.put(lambda progress: 5)
    wait_for(lambda: good.ended)
    assert (bad.state, str(bad.error)) == ('failed', 'broken')
    assert good.result == 5


def test_a_closed_line_has_stopped_the_job_that_ran():
    queue = JobQueue()
    running, _ = hold(queue)
    waiting = queue.put(lambda progress: 5)
    queue.close()
    assert (running.state, waiting.state) == ('stopped', 'stopped')
