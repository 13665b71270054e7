import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gml_mmaction import sources
from gml_mmaction.sources import Video
from gml_mmaction.sources.check import TrainedOn, check_source, format_check

COUNTS = {('train', 'real'): 2, ('train', 'swap'): 1, ('test', 'swap'): 1}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Register a source of five videos as small as can be; all is well."""
    monkeypatch.setattr(sources, '_SOURCES', dict(sources._SOURCES))
    people = {'train/real': 'ab', 'train/swap': 'a', 'test/swap': 'c'}
    videos = []
    for group, names in people.items():
        split, method = group.split('/')
        for name in names:
            path = tmp_path / group / f'{name}.mp4'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b'0')
            videos.append(
                Video(
                    video_id=f'{group}/{name}',
                    path=path,
                    label=int(method == 'swap'),
                    method=method,
                    split=split,
                    people=(f'toy/{name}',),
                )
            )
    register = sources.register_source(
        'toy', counts=COUNTS, notes=lambda videos: ['a toy']
    )
    register(lambda root: videos)
    return videos


def check(**options):
    return check_source('toy', 'root', **options)


def test_a_whole_set_has_no_problem(toy):
    report = check()
    assert report['problems'] == []
    assert report['notes'] == ['a toy', '3 people, nobody in two splits']
    assert report['rows'][0] == {
        'split': 'train',
        'method': 'real',
        'listed': 2,
        'present': 2,
        'missing': 0,
        'empty': 0,
        'published': 2,
    }
    assert format_check(report).endswith('all there')
    assert json.loads(json.dumps(report)) == report


def test_missing_files_are_counted_and_the_first_named(toy, tmp_path):
    for video in toy[:2]:
        video.path.unlink()
    report = check_source('toy', tmp_path)
    assert report['problems'] == [
        '2 missing videos: train/real/a.mp4, train/real/b.mp4'
    ]
    row = report['rows'][0]
    assert (row['listed'], row['present'], row['missing']) == (2, 0, 2)
    assert 'incomplete' in format_check(report).splitlines()[1]


def test_many_missing_files_are_not_all_named(toy):
    for video in toy:
        video.path.unlink()
    (line,) = check()['problems']
    assert line.startswith('4 missing videos: ')
    assert line.count('.mp4') == 3
    assert line.endswith(', ...')


def test_files_of_no_bytes_and_folders_of_no_files_are_empty(toy, tmp_path):
    toy[0].path.write_bytes(b'')
    toy[1].path.unlink()
    toy[1].path.mkdir()
    report = check_source('toy', tmp_path)
    assert report['problems'] == [
        '2 empty videos: train/real/a.mp4, train/real/b.mp4'
    ]
    assert report['rows'][0]['empty'] == 2


def test_counts_other_than_published_are_told(toy):
    toy.append(replace(toy[-1], video_id='d', method='other'))
    toy.append(replace(toy[-2], video_id='e'))
    problems = check()['problems']
    assert problems == ['test swap: 2 videos listed, 1 published']
    lines = format_check(check()).splitlines()
    assert [line.split()[-1] for line in lines[1:5]] == [
        'equal',
        'equal',
        'differs',
        '?',  # no published number
    ]


def test_a_method_that_is_not_chosen_is_no_problem_but_no_fakes_are(toy):
    del toy[-1]
    assert check()['problems'] == []
    assert 'not listed' in format_check(check())
    del toy[-1]
    assert check()['problems'] == ['no fake videos are listed']


def test_a_file_in_two_splits_is_a_problem(toy):
    toy[-1] = replace(toy[-1], path=toy[-2].path)
    assert check()['problems'] == ['1 file in two splits: a.mp4']


def test_a_video_id_that_stands_twice_is_a_problem(toy):
    toy[1] = replace(toy[1], video_id=toy[0].video_id)
    problem = '1 video id of several videos: train/real/a'
    assert check()['problems'] == [problem]


def test_people_in_two_splits_are_a_fact_not_a_problem(toy):
    """Celeb-DF's official test shows celebrities of its training videos.

    github.com/yuezunli/celeb-deepfakeforensics: the list names videos, and
    ids (the first part of their names) stand on both sides of it.
    """
    toy[-1] = replace(toy[-1], people=('toy/c', 'toy/b'))
    report = check()
    assert report['problems'] == []
    assert '1 of 3 people are in train and test: toy/b' in report['notes']


def test_without_people_leaks_are_called_unknown(toy):
    toy[:] = [replace(video, people=()) for video in toy]
    (note,) = check()['notes'][1:]
    assert 'unknown' in note


def test_people_trained_on_in_another_set_are_a_problem(toy):
    other = [replace(toy[-1], split='train'), toy[0]]
    sources.register_source('other')(lambda root: other)
    against = [TrainedOn('other', Path('root'), {})]
    assert check(against=against)['problems'] == [
        '1 of 1 people in the test are in the training split of other: toy/c'
    ]
    other[0] = replace(other[0], split='val')
    report = check(against=against)
    assert report['problems'] == []
    assert report['notes'][-1].startswith('0 of 1 people in the test')


def test_a_lost_target_in_which_to_find_the_face_is_a_problem(toy):
    lost = toy[0].path.with_name('lost.mp4')
    toy[-1] = replace(toy[-1], boxes_from=lost)
    (line,) = check()['problems']
    assert line == f'1 missing video in which faces would be found: {lost}'


def test_decoding_finds_what_has_bytes_but_no_frames(ffpp_tree, tmp_path):
    root = shutil.copytree(ffpp_tree, tmp_path / 'root')
    whole = check_source('ffpp', root, decode=1)
    broken = root / 'original_sequences/youtube/c23/videos/071.mp4'
    broken.write_bytes(b'no video')
    assert check_source('ffpp', root)['problems'] == whole['problems']
    (line,) = {*check_source('ffpp', root, decode=1)['problems']} - {
        *whole['problems']
    }
    assert line.startswith('youtube/c23/071 cannot be decoded: ')
