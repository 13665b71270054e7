import itertools
import json
from collections import Counter

import pytest

from gml_mmaction.sources import get_source
from gml_mmaction.sources.ffpp import expected_videos, find_videos

PAIRS = {
    'train': [['071', '054'], ['087', '081']],
    'val': [['720', '672']],
    'test': [['953', '974']],
}
METHODS = ('Deepfakes', 'Face2Face', 'FaceSwap', 'NeuralTextures')


@pytest.fixture
def tree(tmp_path):
    """Write a tree of empty files: nothing here opens a video."""

    def make(compression='c23', methods=METHODS, splits='splits'):
        folders = {'original_sequences/youtube': '{0} {1}'}
        for method in methods:
            folders[f'manipulated_sequences/{method}'] = '{0}_{1} {1}_{0}'
        for folder, names in folders.items():
            videos = tmp_path / folder / compression / 'videos'
            videos.mkdir(parents=True)
            for pair in itertools.chain(*PAIRS.values()):
                for name in names.format(*pair).split():
                    (videos / f'{name}.mp4').touch()
        (tmp_path / splits).mkdir(exist_ok=True)
        for split, pairs in PAIRS.items():
            path = tmp_path / splits / f'{split}.json'
            path.write_text(json.dumps(pairs))
        return tmp_path

    return make


def test_a_pair_gives_two_reals_and_two_fakes_per_method(tree):
    videos = find_videos(tree())
    counts = Counter((v.split, v.method) for v in videos)
    for split, pairs in PAIRS.items():
        for method in ('real', *METHODS):
            assert counts[split, method] == 2 * len(pairs)
    assert len(videos) == 2 * 4 * 5
    for video in videos:
        assert video.label == (video.method != 'real')


def test_the_fake_is_named_target_first(tree):
    root = tree()
    names = {
        v.path.relative_to(root).as_posix()
        for v in find_videos(root, methods=['FaceSwap'])
        if v.split == 'val'
    }
    fakes = 'manipulated_sequences/FaceSwap/c23/videos'
    reals = 'original_sequences/youtube/c23/videos'
    assert names == {
        f'{reals}/720.mp4',
        f'{reals}/672.mp4',
        f'{fakes}/720_672.mp4',
        f'{fakes}/672_720.mp4',
    }


def test_four_methods_with_the_same_pair_stay_apart(tree):
    # DeepfakeBench merges them: 700 videos became 280
    videos = find_videos(tree())
    ids = [video.video_id for video in videos]
    assert len(set(ids)) == len(ids)
    assert {i for i in ids if '071_054' in i} == {
        f'{method}/c23/071_054' for method in METHODS
    }


def test_c0_is_raw(tree):
    root = tree('raw')
    videos = find_videos(root, compression='c0')
    assert videos == find_videos(root, compression='raw')
    assert len(videos) == 40
    assert videos[0].video_id == 'youtube/raw/071'


def test_half_a_tree_gives_half_the_videos_and_expects_all(tree):
    root = tree()
    for path in sorted(root.rglob('*.mp4'))[::2]:
        path.unlink()
    found, expected = find_videos(root), expected_videos(root)
    assert len(found) == 20
    assert len(expected) == 40
    assert set(found) < set(expected)


def test_methods_without_a_folder_are_expected_when_named(tree):
    root = tree(methods=['Deepfakes'])
    assert {v.method for v in expected_videos(root)} == {'real', 'Deepfakes'}
    named = expected_videos(root, methods=['FaceSwap'])
    assert {v.method for v in named} == {'real', 'FaceSwap'}
    assert {v.method for v in find_videos(root, methods=['FaceSwap'])} == {
        'real'
    }


def test_a_method_of_ones_own_is_read(tree):
    root = tree(methods=['jitter'])
    assert {v.method for v in find_videos(root)} == {'real', 'jitter'}


def test_faceshifter_comes_only_when_named(tree):
    root = tree(methods=['Deepfakes', 'FaceShifter'])
    assert 'FaceShifter' not in {v.method for v in find_videos(root)}
    named = find_videos(root, methods=['FaceShifter'])
    assert 'FaceShifter' in {v.method for v in named}


@pytest.mark.parametrize('splits', ['splits', '.', 'elsewhere'])
def test_split_files_lie_in_splits_or_root_or_where_told(tree, splits):
    root = tree(splits=splits)
    folder = root / splits if splits == 'elsewhere' else None
    assert len(find_videos(root, splits=folder)) == 40


def test_no_split_files_says_where_they_come_from(tree):
    root = tree(splits='elsewhere')
    with pytest.raises(ValueError, match='dataset/splits of github') as error:
        find_videos(root)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, r'val\.json: no such split file'),
        ('[["720", "672"]', r'val\.json: not JSON'),
        ('[[720, 672]]', r'val\.json: expected a list of pairs'),
        ('[["720"]]', r'val\.json: expected a list of pairs'),
        ('{"720": "672"}', r'val\.json: expected a list of pairs'),
        ('[["../720", "672"]]', r'val\.json: expected a list of pairs'),
        ('[["071", "672"]]', r'val\.json: id 071 stands in train'),
    ],
)
def test_a_malformed_split_file_is_named(tree, content, message):
    root = tree()
    path = root / 'splits/val.json'
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(ValueError, match=message):
        find_videos(root)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'compression': 'c24'}, "unknown compression 'c24'; use one of raw"),
        ({'methods': ['Deepfake']}, "unknown method 'Deepfake'; known: "),
        ({'methods': ['DeepFakeDetection']}, 'has no official split'),
    ],
)
def test_a_wrong_option_is_answered_by_the_right_ones(tree, options, message):
    with pytest.raises(ValueError, match=message):
        find_videos(tree(), **options)


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='no such folder'):
        find_videos(tmp_path / 'nowhere')


def test_the_registry_finds_the_source_by_name():
    assert get_source('ffpp') is expected_videos
    with pytest.raises(ValueError, match=r"'ffp'; known: .*ffpp"):
        get_source('ffp')
