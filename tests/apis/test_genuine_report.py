"""The report on a detector from genuine videos: what its numbers are."""

import json

import pytest
from tiny import write_detector, write_prepared

from gml_mmaction.apis import load_detector
from gml_mmaction.apis.genuine_report import describe_genuine, format_genuine
from gml_mmaction.errors import DataError

EACH = 10  # videos of a person


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    path = tmp_path_factory.mktemp('detector') / 'tiny.pth'
    return load_detector(write_detector(path), 'cpu')


@pytest.fixture(scope='module')
def crops(tmp_path_factory):
    """Ten videos of each of two people in validation, one in training."""
    val = [
        (f'{person}{number}', 'real', [person], 1)
        for person in 'ab'
        for number in range(EACH)
    ]
    root = tmp_path_factory.mktemp('crops') / 'data'
    train = [('t', 'real', ['c'], 1), ('f', 'swap', ['c'], 1)]
    return write_prepared(root, dict(train=train, val=val), frames=1)


@pytest.fixture
def scores(tmp_path):
    """Fakes of a are all found, those of b score below every genuine one."""
    rows = []
    for person, fake in (('a', 0.9), ('b', 0.1)):
        for number in range(EACH):
            for family, score in (('F', fake), ('G', 0.9)):
                name = f'{person}{number}'
                real = dict(video_id=f'{name}~{family}', method='real')
                made = dict(video_id=f'{name}+{family}', method=family)
                made['pair'] = real['video_id']
                rows += [
                    dict(real, label=0, score=0.5, tracks=[]),
                    dict(made, label=1, score=score, tracks=[]),
                ]
    null = {'video/auc': [0.4, 0.6], 'video/auc/F': [0.3, 0.5]}
    path = tmp_path / 'scores.json'
    path.write_text(json.dumps(dict(videos=rows, clips=[], untrained=null)))
    return path


def test_intervals_are_over_people_not_videos(detector, crops, scores):
    """Half of the draws of two people hold one of them alone."""
    report = describe_genuine(detector, crops, scores)
    found = report['scores']
    assert found['F']['auc'] == [0.5, 0.0, 1.0]
    assert found['G']['auc'] == [1.0, None, None]
    assert found['']['auc'] == [0.75, 0.5, 1.0]
    fakes = {name: own['fakes'] for name, own in found.items()}
    assert fakes == {'': 4 * EACH, 'F': 2 * EACH, 'G': 2 * EACH}
    higher = {name: own['higher'] for name, own in found.items()}
    assert higher == {'': 3 * EACH, 'F': EACH, 'G': 2 * EACH}
    assert {own['drawn'] for own in found.values()} == {2}
    assert found['F']['untrained'] == [0.3, 0.5]
    assert found['G']['untrained'] == []
    assert report['data']['train'] == dict(videos=1, people=1, left_out={})
    assert report['data']['val']['people'] == 2


def test_the_text_says_when_nothing_was_learned(detector, crops, scores):
    report = describe_genuine(detector, crops, scores)
    report['seconds'] = dict(prepare=1.0, train=61.4)
    text = format_genuine(report, detector.checkpoint)
    assert '0.750 [0.500, 1.000] | 0.400 to 0.600 of 2 |' in text
    assert '1.000 [no interval] |' in text
    assert 'of learning there is no sign' not in text
    report['scores']['']['untrained'] = [0.4, 0.8]
    text = format_genuine(report, detector.checkpoint)
    assert 'of learning there is no sign' in text
    assert '|      61 |' in text
    report['scores']['']['untrained'] = [0.5, 0.5]
    text = format_genuine(report, detector.checkpoint)
    assert 'score all videos alike' in text
    assert 'of learning there is no sign' not in text
    assert 'no better than a coin' not in text
    report['scores']['']['auc'] = [0.5, None, None]
    text = format_genuine(report, detector.checkpoint)
    assert 'no better than a coin' in text


def test_without_the_manifest_a_line_says_so(detector, scores, tmp_path):
    with pytest.raises(DataError, match=r'manifest\.json is missing'):
        describe_genuine(detector, tmp_path, scores)


def test_a_file_that_names_no_pairs_has_a_dash_for_them(
    detector, crops, scores
):
    content = json.loads(scores.read_text())
    for video in content['videos']:
        video.pop('pair', None)
    scores.write_text(json.dumps(content))
    report = describe_genuine(detector, crops, scores)
    report['seconds'] = {}
    assert report['scores']['']['higher'] is None
    assert '0 of 40' not in format_genuine(report, detector.checkpoint)
