import dataclasses
import json
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from gml_mmaction.faces import format_report, prepare_videos
from gml_mmaction.sources.ffpp import find_videos


class DeadlyPath(type(Path())):
    """A path that kills the worker process that it is sent to."""

    def __reduce__(self):
        return kill_this_process, ()


def kill_this_process():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def videos(ffpp_tree):
    return find_videos(ffpp_tree, methods=['FaceSwap'])


@pytest.fixture
def prepare(ffpp_tree, tmp_path):
    def run(videos, **options):
        return prepare_videos(
            videos, tmp_path / 'out', source='ffpp', root=ffpp_tree, **options
        )

    return run


def test_a_video_that_kills_its_process_is_counted_and_tried_again(
    videos, prepare, tmp_path
):
    deadly = DeadlyPath(videos[4].path)
    sick = [*videos]
    sick[4] = dataclasses.replace(videos[4], path=deadly)
    report = prepare(sick, workers=2)
    (failure,) = report['failures']
    assert failure['video_id'] == videos[4].video_id
    assert failure['reason'] == 'crashed'
    assert report['total']['prepared'] == 11
    report = prepare(videos)
    assert report['failures'] == []
    assert report['total']['prepared'] == 12


def test_an_error_nobody_foresaw_is_counted_and_the_run_goes_on(
    videos, prepare
):
    report = prepare(videos, max_frames={'val': 'ten'})
    assert {f['split'] for f in report['failures']} == {'val'}
    assert {f['reason'] for f in report['failures']} == {'error'}
    assert 'TypeError' in report['failures'][0]['detail']
    assert report['total']['failed'] == {'error': 4}
    assert report['total']['prepared'] == 8


def test_two_videos_with_one_id_are_refused(videos, prepare):
    with pytest.raises(ValueError, match='two videos share the id youtube'):
        prepare([*videos, videos[0]])


@pytest.fixture
def begin_with_version(videos, prepare, tmp_path):
    """Prepare a video, by another version of a package, as the files say."""

    def run(name, version):
        prepare(videos[:1])
        path = tmp_path / 'out/parameters.json'
        parameters = json.loads(path.read_text())
        parameters['versions'][name] = version
        path.write_text(json.dumps(parameters))

    return run


@pytest.mark.parametrize('name', ['dlib', 'decord'])
def test_another_detector_or_decoder_is_refused(
    videos, prepare, begin_with_version, name
):
    begin_with_version(name, '0.1')
    with pytest.raises(ValueError, match=rf'versions\.{name} was 0\.1, is'):
        prepare(videos[:1])


def test_a_restart_with_another_numpy_goes_on_and_says_so(
    videos, prepare, begin_with_version, tmp_path
):
    begin_with_version('numpy', '0.1')
    for _ in range(2):
        assert prepare(videos[:2])['total']['prepared'] == 2
        manifest = json.loads((tmp_path / 'out/manifest.json').read_text())
        assert manifest['versions']['numpy'] == f'0.1, {np.__version__}'
        assert manifest['versions']['opencv'] == cv2.__version__


def test_another_selection_in_the_same_folder_reuses_the_crops(
    ffpp_tree, videos, prepare, tmp_path
):
    prepare(videos)
    crop = tmp_path / 'out/frames' / videos[0].video_id / '000000.jpg'
    before = crop.stat().st_mtime_ns
    report = prepare(find_videos(ffpp_tree, methods=['Deepfakes']))
    assert crop.stat().st_mtime_ns == before
    assert {row['method'] for row in report['rows']} == {'real', 'Deepfakes'}
    entries = json.loads((tmp_path / 'out/val.json').read_text())['data_list']
    assert {entry['method'] for entry in entries} == {'real', 'Deepfakes'}


def test_a_folder_that_cannot_be_written_ends_the_run(
    videos, prepare, tmp_path
):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/frames').write_text('a file in the way')
    with pytest.raises(OSError, match='frames'):
        prepare(videos)


def test_the_table_shows_each_reason_in_a_column():
    row = {
        'split': 'train',
        'method': 'real',
        'expected': 10,
        'missing': 3,
        'found': 7,
        'prepared': 5,
        'failed': {'no face': 2},
        'frames': 1234,
    }
    total = {**row, 'split': 'total', 'method': ''}
    lines = format_report({'rows': [row], 'total': total}).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [' '.join(line.split()) for line in lines] == [
        'split method expected missing found prepared no face frames',
        'train real 10 3 7 5 2 1234',
        'total 10 3 7 5 2 1234',
    ]
