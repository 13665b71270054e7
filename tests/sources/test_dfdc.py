import json

import pytest

from gml_mmaction.sources.dfdc import list_videos
from gml_mmaction.sources.options import list_with_notes

PART = {
    'aaa.mp4': {'label': 'REAL', 'split': 'train', 'original': None},
    'bbb.mp4': {'label': 'FAKE', 'split': 'train', 'original': 'aaa.mp4'},
}


@pytest.fixture
def tree(touch):
    """``level``: what lies between a list and its videos."""

    def make(train='train/', test='test/', level=''):
        parts = [f'{train}dfdc_train_part_{i}' for i in (2, 10)]
        names = [f'{part}/{level}{name}' for part in parts for name in PART]
        root = touch(
            *names, *(f'{test}{level}{name}.mp4' for name in ('ccc', 'ddd'))
        )
        for part in parts:
            (root / part / 'metadata.json').write_text(json.dumps(PART))
        (root / test / 'labels.csv').write_text(
            'filename,label\nccc.mp4,1\nddd.mp4,0\neee.mp4,1\n'
        )
        return root

    return make


def test_1_is_fake_in_labels_csv(tree):
    """DeepfakeBench's rearrange.py: labels = [real, fake][row['label']]."""
    test = [v for v in list_videos(tree()) if v.split == 'test']
    assert [(v.video_id, v.label, v.method) for v in test] == [
        ('test/ccc', 1, 'fake'),
        ('test/ddd', 0, 'real'),
        ('test/eee', 1, 'fake'),
    ]
    assert [video.exists for video in test] == [True, True, False]


def test_training_parts_come_in_order_with_the_original_of_a_fake(tree):
    train = [v for v in list_videos(tree()) if v.split == 'train']
    assert [(v.video_id, v.label, v.people) for v in train] == [
        ('train/dfdc_train_part_2/aaa', 0, ('dfdc/aaa',)),
        ('train/dfdc_train_part_2/bbb', 1, ('dfdc/aaa',)),
        ('train/dfdc_train_part_10/aaa', 0, ('dfdc/aaa',)),
        ('train/dfdc_train_part_10/bbb', 1, ('dfdc/aaa',)),
    ]
    assert all(video.exists for video in train)


@pytest.mark.parametrize(
    'places',
    [
        {'level': 'videos/'},
        {'train': ''},
        {'test': '', 'level': 'videos/'},
    ],
)
def test_other_layouts_give_the_same_videos(tree, places):
    """SelfBlendedImages has labels.csv beside videos/."""
    videos = list_videos(tree(**places))
    assert [v.video_id.rpartition('/')[2] for v in videos] == [
        *('aaa', 'bbb', 'aaa', 'bbb', 'ccc', 'ddd', 'eee')
    ]
    assert [v.video_id for v in videos if not v.exists] == ['test/eee']


def test_training_parts_can_be_left_out(tree):
    root = tree()
    assert {v.split for v in list_videos(root, train=False)} == {'test'}
    for path in root.glob('train/*/metadata.json'):
        path.unlink()
    assert {v.split for v in list_videos(root)} == {'test'}


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('test/labels.csv', 'filename,label\nx.mp4,2\n', r'csv, line 2: exp'),
        ('test/labels.csv', 'name,label\nx.mp4,1\n', r'csv, line 2: expected'),
        ('test/labels.csv', 'filename,label\nx.mp4\n', r'csv, line 2: expec'),
        ('metadata.json', '{', r'metadata\.json: not JSON'),
        ('metadata.json', '[]', r'metadata\.json: expected'),
        ('metadata.json', '{"x.mp4": {"label": 1}}', r'x\.mp4 has the label'),
        ('metadata.json', '{"x.mp4": ["REAL"]}', r'x\.mp4 has the label None'),
    ],
)
def test_a_malformed_list_is_named(tree, name, content, message):
    root = tree()
    path = next(root.rglob(name))
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        list_videos(root)
    assert str(path) in str(error.value)


def test_a_folder_without_lists_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'a folder with test/labels\.csv'):
        list_videos(tmp_path)


def test_parts_and_videos_without_a_label_are_named(touch):
    root = touch(
        'train/dfdc_train_part_0/a.mp4',
        'train/dfdc_train_part_0/b.mp4',
        'train/dfdc_train_part_1/c.mp4',
    )
    (root / 'train/dfdc_train_part_0/metadata.json').write_text(
        '{"a.mp4": {"label": "REAL", "original": null}}'
    )
    videos, notes = list_with_notes('dfdc', root, {})
    assert len(videos) == 1
    assert notes[-2].endswith('train/dfdc_train_part_1')
    assert notes[-1].endswith('beside it: train/dfdc_train_part_0/b.mp4')


def test_the_original_of_a_fake_is_in_its_part(tree):
    originals = [v.original for v in list_videos(tree())]
    assert originals[:4] == [
        '',
        'train/dfdc_train_part_2/aaa',
        '',
        'train/dfdc_train_part_10/aaa',
    ]
    assert not any(originals[4:])
