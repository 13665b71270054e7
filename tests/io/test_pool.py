import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gml_mmaction.errors import SettingError
from gml_mmaction.io.pool import run_in_processes, run_on_cluster


def square_or_die(job):
    if job in (3, 4):
        os.kill(os.getpid(), signal.SIGKILL)
    return job, job * job


def square_or_raise(job):
    if job == 3:
        raise OSError('no space left')
    return job, job * job


def has_networks(job):
    return 'mmaction.models' in sys.modules


def tell_and_sleep(folder):
    (folder / str(os.getpid())).touch()
    time.sleep(600)


def is_running(pid):
    try:
        os.kill(pid, 0)
        stat = Path(f'/proc/{pid}/stat').read_text()
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # no /proc here, or it has just ended
        return not Path('/proc/self').exists()
    return stat.rpartition(')')[2].split()[0] not in 'ZX'  # nobody waited


@pytest.mark.slow
@pytest.mark.parametrize('workers', [1, 2])
def test_a_job_that_kills_its_process_harms_no_other(workers):
    results = run_in_processes(
        square_or_die,
        range(12),
        workers=workers,
        on_crash=lambda job: (job, 'crashed'),
    )
    expected = {job: job * job for job in range(12)}
    assert dict(results) == {**expected, 3: 'crashed', 4: 'crashed'}


@pytest.mark.slow
def test_an_exception_ends_the_run():
    results = run_in_processes(
        square_or_raise, range(100), workers=2, on_crash=print
    )
    with pytest.raises(OSError, match='no space left'):
        list(results)


def test_no_worker_is_an_error():
    with pytest.raises(ValueError, match='workers is 0'):
        run_in_processes(print, [1], workers=0, on_crash=print)


def test_no_job_gives_no_result():
    assert not list(run_in_processes(print, [], workers=2, on_crash=print))


def test_the_processes_of_a_command_register_if_they_are_told(
    run_warm, tmp_path
):
    script = tmp_path / 'gml'
    script.write_text(
        'import gml_mmaction\n'
        'from gml_mmaction.io import pool\n'
        'from test_pool import has_networks\n'
        "if __name__ == '__main__':\n"
        '    pool.in_command = gml_mmaction.COMMAND\n'
        '    for begin in (None, gml_mmaction.register):\n'
        '        print(*pool.run_in_processes(has_networks, [0], workers=1,\n'
        '                                     on_crash=print, begin=begin))\n'
    )
    done = run_warm(str(script), path=Path(__file__).parent)
    assert done.stdout.split() == ['False', 'True'], done.stderr


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / 'script.py'
    script.write_text(
        'from pathlib import Path\n'
        'import sys\n'
        'sys.path[:0] = sys.argv[2:]\n'
        'from test_pool import run_in_processes, tell_and_sleep\n'
        "if __name__ == '__main__':\n"
        '    jobs = [Path(sys.argv[1])] * 2\n'
        '    list(run_in_processes(tell_and_sleep, jobs, workers=2,\n'
        '                          on_crash=print))\n'
    )
    folder = tmp_path / 'pids'
    folder.mkdir()
    parent = subprocess.Popen(
        [sys.executable, str(script), str(folder), *sys.path]
    )
    try:
        wait_for(lambda: len(list(folder.iterdir())) == 2, seconds=240)
    finally:
        parent.kill()
        parent.wait()
    pids = [int(path.name) for path in folder.iterdir()]
    wait_for(lambda: not any(map(is_running, pids)), seconds=50)


def test_a_job_that_kills_its_worker_on_a_cluster_harms_no_other(cluster):
    results = run_on_cluster(
        square_or_die,
        range(12),
        cluster=cluster.scheduler_address,
        on_crash=lambda job: (job, 'crashed'),
    )
    expected = {job: job * job for job in range(12)}
    assert dict(results) == {**expected, 3: 'crashed', 4: 'crashed'}


def test_an_exception_on_a_cluster_ends_the_run(cluster):
    results = run_on_cluster(
        square_or_raise,
        range(100),
        cluster=cluster.scheduler_address,
        on_crash=print,
    )
    with pytest.raises(OSError, match='no space left'):
        list(results)


def test_a_cluster_holds_no_more_than_two_jobs_a_worker(cluster):
    with cluster.get_client() as client:
        held = []
        for _ in run_on_cluster(
            abs, range(30), cluster=client, on_crash=print
        ):
            held.append(len(client.futures))
    assert len(held) == 30
    assert max(held) <= 2 * 2


def test_a_worker_of_several_threads_is_refused(start_cluster):
    threads = start_cluster(workers=1, threads=2)
    results = run_on_cluster(
        abs, [1], cluster=threads.scheduler_address, on_crash=print
    )
    with pytest.raises(ValueError, match=r'2 threads.*--nthreads 1'):
        list(results)


def test_a_cluster_without_workers_is_refused(start_cluster):
    empty = start_cluster(workers=0)
    with pytest.raises(ValueError, match=r'has no workers\. Remedy: dask'):
        run_on_cluster(
            abs, [1], cluster=empty.scheduler_address, on_crash=print
        )


@pytest.mark.parametrize(
    ('address', 'why'),
    [
        ('nowhere', 'no valid address.*Remedy: one such as tcp://HOST'),
        ('carrier://pigeon:1', 'no valid address'),
        ('tcp://127.0.0.1:1', 'does not answer.*Remedy: start it there'),
    ],
)
def test_an_address_where_no_cluster_is_ends_in_a_line_at_once(address, why):
    dask = pytest.importorskip('dask')
    pytest.importorskip('distributed')
    began = time.monotonic()
    with dask.config.set({'distributed.comm.timeouts.connect': '1s'}):
        with pytest.raises(SettingError, match=why):
            run_on_cluster(abs, [1], cluster=address, on_crash=print)
        gc.collect()  # a client that is half made ends late
    assert time.monotonic() - began < 30


def test_a_cluster_that_goes_away_is_an_error_of_one_line(start_cluster):
    dask = pytest.importorskip('dask')
    mortal = start_cluster(workers=1)
    with dask.config.set({'distributed.comm.timeouts.connect': '2s'}):
        results = run_on_cluster(
            time.sleep,
            [0, 600],
            cluster=mortal.scheduler_address,
            on_crash=print,
        )
        next(results)
        mortal.close()
        with pytest.raises(OSError, match='tcp://') as error:
            next(results)
    assert '\n' not in str(error.value)


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
