"""Videos are done by several processes, and not again when they are done."""

import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from tiny import REPO, write_detector

from gml_mmaction.apis import ForgeryInferencer, analyse, load_detector
from gml_mmaction.apis.inferencer import FOLDER_CLIPS
from gml_mmaction.apis.initial import ORIGIN, write_initial
from gml_mmaction.apis.inputs import InputError, find_inputs
from gml_mmaction.apis.many import finished
from gml_mmaction.engine.config_check import read_settings
from gml_mmaction.evaluation.calibration import calibrate, write_calibration
from gml_mmaction.evaluation.scores import ScoresFile, VideoScore

pytest.importorskip('dlib')
pytest.importorskip('av')


FACTS = dict(method='x', tracks=[])


class DeadlyPath(type(Path())):
    """A path that kills the worker process that asks for its name."""

    def __str__(self):
        if multiprocessing.parent_process():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__str__()


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return write_detector(tmp_path_factory.mktemp('detector') / 'best.pth')


@pytest.fixture(scope='module')
def talking(talking_head, tmp_path_factory):
    """A face for 150 frames, which are 75 taken ones and 9 clips."""
    return talking_head(tmp_path_factory.mktemp('talking') / 'a.mp4', 150)


@pytest.fixture
def folder(talking, tmp_path):
    folder = tmp_path / 'in'
    folder.mkdir()
    for name in 'abc':
        shutil.copy(talking, folder / f'{name}.mp4')
    (folder / 'd.mp4').write_bytes(b'\0' * 1000)
    return folder


def times_written(out):
    """When each prediction was written."""
    return {
        path.parent.name: path.stat().st_mtime_ns
        for path in out.glob('*/prediction.json')
    }


def replace_unseen(path):
    """Change a video's content, neither its size nor its time."""
    data, before = bytearray(path.read_bytes()), path.stat()
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def reports(out):
    return {
        path.parent.name: path.read_bytes()
        for path in out.glob('*/prediction.json')
    }


def labelled():
    """A score file of 20 videos."""
    rows = [
        VideoScore(
            video_id=f'{k}/{i}', label=k, score=(5 * k + i) / 20, **FACTS
        )
        for k in (0, 1)
        for i in range(10)
    ]
    return ScoresFile(source='mine', videos=rows, clips=[])


def test_several_processes_give_what_one_gives_and_the_next_run_goes_on(
    checkpoint, folder, run_warm, cluster, tmp_path
):
    def predict(out, *words):
        done = run_warm(
            str(REPO / 'tools/predict.py'),
            *(str(folder), '--checkpoint', str(checkpoint), '--quiet'),
            *('--out', str(tmp_path / out), '--no-overlay', '--device', 'cpu'),
            *words,
        )
        assert done.returncode == 1, done.stderr  # one has no score
        lines = done.stdout.split('\n')
        return sorted(one for one in lines if one.startswith(str(folder)))

    one = predict('one')
    assert len(one) == 4
    assert predict('two', '--workers', '2') == one
    assert predict('three', '--cluster', cluster.scheduler_address) == one
    assert reports(tmp_path / 'one') == reports(tmp_path / 'two')
    assert reports(tmp_path / 'one') == reports(tmp_path / 'three')
    pages = [
        (tmp_path / out / name).read_bytes()
        for name in ('summary.csv', 'summary.html')
        for out in ('one', 'two', 'three')
    ]
    assert pages[0] == pages[1] == pages[2]
    assert pages[3] == pages[4] == pages[5]
    assert pages[3].count(b'data:image/jpeg') == 3
    assert pages[0].count(b'not a video') == 1
    before = times_written(tmp_path / 'two')
    os.utime(folder / 'a.mp4')  # a copy, say: the same content
    replace_unseen(folder / 'b.mp4')
    (tmp_path / 'two/c/finished.json').unlink()  # as after a stop
    (tmp_path / 'two/summary.html').unlink()
    assert predict('two', '--workers', '2') == one
    after = times_written(tmp_path / 'two')
    changed = {name for name in after if after[name] != before[name]}
    # d could not be read, which may be due to the machine
    assert changed == {'b', 'c', 'd'}
    assert (tmp_path / 'two/summary.html').read_bytes() == pages[3]


@pytest.mark.slow
def test_a_worker_of_a_cluster_that_dies_is_an_entry_and_the_rest_are_done(
    checkpoint, folder, cluster, tmp_path
):
    made = ForgeryInferencer(checkpoint, 'cpu', clips=1).iterate(
        [DeadlyPath(folder / 'a.mp4'), folder / 'b.mp4'],
        out_dir=tmp_path / 'out',
        overlay=False,
        show_progress=False,
        cluster=cluster.scheduler_address,
    )
    done = [one.prediction for one, _ in made]
    assert {Path(one.input).name: one.status for one in done} == {
        'a.mp4': 'crashed',
        'b.mp4': 'ok',
    }
    assert 'the process that read it died' in (
        (tmp_path / 'out/summary.csv').read_text()
    )


@pytest.mark.slow
def test_another_option_or_detector_does_a_video_again(
    checkpoint, talking, tmp_path
):
    def predict(detector, **options):
        inferencer = ForgeryInferencer(detector, 'cpu', **options)
        list(
            inferencer.iterate(
                str(talking),
                out_dir=tmp_path / 'out',
                overlay=False,
                show_progress=False,
                skip_finished=True,
            )
        )
        return times_written(tmp_path / 'out')['a']

    first = predict(checkpoint)
    assert predict(checkpoint) == first
    some = predict(checkpoint, clips=2)
    assert some != first
    other = predict(checkpoint, clips=2, threshold=0.7)
    assert other != some
    assert predict(checkpoint, clips=2, threshold=0.7) == other
    another = write_detector(tmp_path / 'other.pth', seed=1)
    assert predict(another, clips=2, threshold=0.7) != other


@pytest.mark.slow
def test_a_video_that_changes_while_it_is_read_is_done_again(
    checkpoint, talking, tmp_path
):
    """As one whose download has not ended."""
    video = tmp_path / 'a.mp4'
    shutil.copy(talking, video)
    inferencer = ForgeryInferencer(checkpoint, 'cpu', clips=1)
    (job,) = inferencer._jobs(find_inputs(video), 4, tmp_path / 'out', False)
    inferencer.do(job)
    assert finished(job)

    def change(done, total):
        if done == total:
            replace_unseen(video)

    inferencer.do(job, change)
    assert not finished(job)


@pytest.mark.slow
def test_a_video_is_done_again_when_the_detector_was_calibrated(
    talking, tmp_path
):
    path = write_detector(tmp_path / 'best.pth')

    def job_of():
        inferencer = ForgeryInferencer(path, 'cpu', threshold=0.5, clips=1)
        found = find_inputs(talking)
        (job,) = inferencer._jobs(found, 4, tmp_path / 'out', False)
        return inferencer, job

    inferencer, job = job_of()
    inferencer.do(job)
    assert finished(job)
    write_calibration(path, calibrate(labelled(), job.settings.sha256))
    inferencer, job = job_of()
    assert not finished(job)
    inferencer.do(job)
    (_, prediction, _) = finished(job_of()[1])
    assert prediction.probability is not None


def test_no_report_is_overwritten_by_that_of_another_video(
    checkpoint, folder, tmp_path
):
    """Of the same name: the next run has another folder for it."""
    other = tmp_path / 'other'
    other.mkdir()
    shutil.copy(folder / 'd.mp4', other / 'd.mp4')
    inferencer = ForgeryInferencer(checkpoint, 'cpu')

    def places(*videos):
        made = inferencer(
            list(videos), out_dir=tmp_path / 'out', show_progress=False
        )
        return [
            Path(files['prediction']).parent.name
            for files in made['visualization']
        ]

    assert places(folder / 'd.mp4') == ['d']
    assert places(other / 'd.mp4') == ['d-2']
    assert places(other / 'd.mp4', folder / 'd.mp4') == ['d-2', 'd']
    report = json.loads((tmp_path / 'out/d/prediction.json').read_text())
    assert report['input'] == str(folder / 'd.mp4')


@pytest.mark.slow
def test_some_clips_have_the_scores_that_they_have_among_all(
    checkpoint, talking
):
    detector = load_detector(checkpoint, 'cpu')
    (whole,) = analyse(detector, talking).prediction.tracks
    found = analyse(detector, talking, clips=3).prediction
    (some,) = found.tracks
    assert len(some.clips) == 3
    assert [clip.stop - clip.start for clip in some.clips] == [16] * 3
    assert some.score == pytest.approx(
        np.mean([clip.score for clip in some.clips])
    )
    assert any('3 moments' in note for note in found.notes)
    assert abs(some.score - whole.score) < 0.1
    assert some.seen == 1
    enough = analyse(detector, talking, clips=9).prediction
    assert enough.tracks == [whole]
    assert not enough.notes


def test_a_video_in_a_folder_is_sampled_and_one_that_is_named_is_not(
    checkpoint, folder
):
    inferencer = ForgeryInferencer(checkpoint, 'cpu')
    jobs = inferencer._jobs(
        find_inputs([folder, folder / 'a.mp4']), 4, None, False
    )
    assert [job.clips for job in jobs] == [FOLDER_CLIPS] * 3 + [0]
    assert [job.source for job in jobs].count(folder / 'a.mp4') == 1
    named = inferencer._jobs(find_inputs([folder / 'a.mp4']), 4, None, False)
    assert [job.clips for job in named] == [0]
    with pytest.raises(InputError, match='Remedy'):
        ForgeryInferencer(checkpoint, 'cpu', clips=-1)


@pytest.mark.slow
def test_a_network_of_random_weights_says_so(talking, tmp_path):
    config = REPO / 'configs/gml_xception-small_demo.py'
    for name in ('a.pth', 'b.pth'):
        write_initial(read_settings(config), tmp_path / name)
    inferencer = ForgeryInferencer(tmp_path / 'a.pth', 'cpu', clips=1)
    analysis = inferencer.analyse(talking, heat=False)
    report = inferencer.report(analysis)
    assert report['origin'] == f'trained on {ORIGIN}'
    assert 'random' in report['detector']['words'][0]
    assert 'Started from: random (seed 0).' in report['detector']['words']
    same = ForgeryInferencer(tmp_path / 'b.pth', 'cpu', clips=1)
    assert (
        same.analyse(talking, heat=False).prediction.score == report['score']
    )
