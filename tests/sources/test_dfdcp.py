import json

import pytest

from gml_mmaction.sources.dfdcp import list_videos
from gml_mmaction.sources.options import list_with_notes

ENTRIES = {
    'original_videos/643550/643550_J_002.mp4': ('real', 'train'),
    'method_A/643550/643550_J/643550_1003254_J_002.mp4': ('fake', 'train'),
    'method_B/643550/643550_J/643550_1003254_J_002.mp4': ('fake', 'test'),
    'original_videos/1003254/1003254_A_001.mp4': ('real', 'test'),
}


@pytest.fixture
def tree(touch):
    def make(level='', entries=ENTRIES):
        root = touch(*(n.replace('/', f'/{level}', 1) for n in ENTRIES))
        content = {
            name: {'label': label, 'set': split, 'augmentations': []}
            for name, (label, split) in entries.items()
        }
        (root / 'dataset.json').write_text(json.dumps(content))
        return root

    return make


@pytest.mark.parametrize('level', ['', 'videos/'])
def test_dataset_json_gives_label_set_and_path(tree, level):
    """SelfBlendedImages and DeepfakeBench put videos/ in each folder."""
    videos = list_videos(tree(level))
    assert [(v.label, v.split, v.method) for v in videos] == [
        (0, 'train', 'real'),
        (1, 'train', 'method_A'),
        (1, 'test', 'method_B'),
        (0, 'test', 'real'),
    ]
    assert all(video.exists for video in videos)


def test_the_same_name_in_both_methods_stays_two_videos(tree):
    ids = [video.video_id for video in list_videos(tree())]
    assert ids == [name.removesuffix('.mp4') for name in ENTRIES]


def test_a_listed_video_that_is_absent_is_listed_as_missing(tree):
    root = tree()
    gone = root / 'original_videos/1003254/1003254_A_001.mp4'
    gone.unlink()
    missing = [v.path for v in list_videos(root) if not v.exists]
    assert missing == [gone]


@pytest.mark.parametrize(
    ('name', 'values'),
    [
        ('method_A/x.mp4', ('FAKE', 'test')),
        ('method_A/x.mp4', ('fake', 'public')),
        ('method_A/x.mp4', (['fake'], None)),
        ('x.mp4', ('fake', 'test')),
    ],
)
def test_a_malformed_entry_is_named(tree, name, values):
    root = tree(entries={name: values})
    with pytest.raises(ValueError, match=rf'dataset\.json: {name}: expected'):
        list_videos(root)


@pytest.mark.parametrize('content', ['{', '[]'])
def test_a_malformed_file_is_named(tree, content):
    root = tree()
    (root / 'dataset.json').write_text(content)
    with pytest.raises(ValueError, match=r'dataset\.json: '):
        list_videos(root)


def test_without_its_list_a_tree_is_refused(tmp_path):
    with pytest.raises(ValueError, match='copy it from the download'):
        list_videos(tmp_path)


def test_videos_that_are_not_in_the_list_are_named(touch):
    root = touch('original_videos/a/b.mp4', 'method_A/a/c.mp4')
    (root / 'dataset.json').write_text(
        '{"original_videos/a/b.mp4": {"label": "real", "set": "test"}}'
    )
    _, notes = list_with_notes('dfdcp', root, {})
    assert notes[-1] == '1 video not in dataset.json: method_A/a/c.mp4'
