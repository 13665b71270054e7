import itertools
import json
from collections import Counter

import pytest

from gml_mmaction.sources import get_entry, get_source
from gml_mmaction.sources.ffpp import list_videos

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
    videos = list_videos(tree())
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
        for v in list_videos(root, methods=['FaceSwap'])
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


def test_people_of_a_fake_are_target_and_source_in_this_order(tree):
    videos = {video.video_id: video for video in list_videos(tree())}
    fake = videos['FaceSwap/c23/054_071']
    assert fake.people == ('ffpp/054', 'ffpp/071')
    assert videos['youtube/c23/054'].people == ('ffpp/054',)


def test_people_stay_in_one_split(tree):
    splits = {}
    for video in list_videos(tree()):
        for person in video.people:
            splits.setdefault(person, set()).add(video.split)
    assert len(splits) == 8
    assert all(len(found) == 1 for found in splits.values())


def test_the_official_pairs_give_the_published_counts(tmp_path):
    """Pairs are 360, 70 and 70: github.com/ondyari/FaceForensics/dataset."""
    ids = iter(f'{i:03}' for i in range(1000))
    for split, count in (('train', 360), ('val', 70), ('test', 70)):
        pairs = [[next(ids), next(ids)] for _ in range(count)]
        (tmp_path / f'{split}.json').write_text(json.dumps(pairs))
    methods = [*METHODS, 'FaceShifter']
    videos = list_videos(tmp_path, methods=methods)
    counts = Counter((video.split, video.method) for video in videos)
    assert counts == get_entry('ffpp').counts
    assert counts['train', 'Face2Face'] == 720
    assert {counts[s, 'real'] for s in ('val', 'test')} == {140}


@pytest.mark.parametrize('method', [*METHODS, 'FaceShifter'])
def test_each_of_the_methods_can_be_named_alone(tree, method):
    videos = list_videos(tree(methods=[method]), methods=[method])
    assert {video.method for video in videos} == {'real', method}
    assert all(video.exists for video in videos)


def test_a_method_that_the_tree_lacks_is_noted(tree):
    videos = list_videos(tree(methods=['Deepfakes', 'FaceSwap']))
    (note,) = get_entry('ffpp').notes(videos)
    assert 'not chosen: Face2Face, NeuralTextures' in note


def test_four_methods_with_the_same_pair_stay_apart(tree):
    """DeepfakeBench's video AUC merges them: 700 videos become 280."""
    videos = list_videos(tree())
    ids = [video.video_id for video in videos]
    assert len(set(ids)) == len(ids)
    assert {i for i in ids if '071_054' in i} == {
        f'{method}/c23/071_054' for method in METHODS
    }


def test_c0_is_raw(tree):
    """FaceForensics++'s extraction script calls raw ``c0``."""
    root = tree('raw')
    videos = list_videos(root, compression='c0')
    assert videos == list_videos(root, compression='raw')
    assert len(videos) == 40
    assert videos[0].video_id == 'youtube/raw/071'


def test_half_a_tree_gives_half_the_videos_and_expects_all(tree):
    root = tree()
    for path in sorted(root.rglob('*.mp4'))[::2]:
        path.unlink()
    videos = list_videos(root)
    assert len(videos) == 40
    assert sum(video.exists for video in videos) == 20


def test_methods_without_a_folder_are_expected_when_named(tree):
    root = tree(methods=['Deepfakes'])
    assert {v.method for v in list_videos(root)} == {'real', 'Deepfakes'}
    named = list_videos(root, methods=['FaceSwap'])
    assert {v.method for v in named} == {'real', 'FaceSwap'}
    assert {v.method for v in named if v.exists} == {'real'}


def test_a_method_of_ones_own_is_read(tree):
    root = tree(methods=['jitter'])
    assert {v.method for v in list_videos(root)} == {'real', 'jitter'}


def test_faceshifter_comes_only_when_named(tree):
    root = tree(methods=['Deepfakes', 'FaceShifter'])
    assert 'FaceShifter' not in {v.method for v in list_videos(root)}
    named = list_videos(root, methods=['FaceShifter'])
    assert 'FaceShifter' in {v.method for v in named}


@pytest.mark.parametrize('splits', ['splits', '.', 'elsewhere'])
def test_split_files_lie_in_splits_or_root_or_where_told(tree, splits):
    root = tree(splits=splits)
    folder = root / splits if splits == 'elsewhere' else None
    assert len(list_videos(root, splits=folder)) == 40


def test_no_split_files_says_where_they_come_from(tree):
    root = tree(splits='elsewhere')
    with pytest.raises(ValueError, match='dataset/splits of github') as error:
        list_videos(root)
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
        ('[["071", "672"]]', r'val\.json: id 071 is in train already'),
    ],
)
def test_a_malformed_split_file_is_named(tree, content, message):
    root = tree()
    path = root / 'splits/val.json'
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(ValueError, match=message):
        list_videos(root)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'compression': 'c24'},
            "unknown compression 'c24'. Remedy: one of raw",
        ),
        (
            {'methods': ['Deepfake']},
            "unknown method 'Deepfake'. Remedy: one of ",
        ),
        ({'methods': ['DeepFakeDetection']}, "the source 'dfd'"),
    ],
)
def test_a_wrong_option_is_answered_by_the_right_ones(tree, options, message):
    with pytest.raises(ValueError, match=message):
        list_videos(tree(), **options)


def test_deepfakedetection_is_not_mixed_into_training(tree):
    """It has no split: github.com/ondyari/FaceForensics/issues/63."""
    videos = list_videos(tree(methods=['Deepfakes', 'DeepFakeDetection']))
    assert {video.method for video in videos} == {'real', 'Deepfakes'}


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='no such folder'):
        list_videos(tmp_path / 'nowhere')


def test_the_registry_finds_the_source_by_name():
    assert get_source('ffpp') is list_videos
    with pytest.raises(ValueError, match=r"'ffp'\. Remedy: one of .*ffpp"):
        get_source('ffp')


@pytest.mark.parametrize('level', ['images', 'frames'])
def test_extracted_images_stand_for_their_videos(touch, level):
    root = touch(
        f'original_sequences/youtube/c23/{level}/071/0000.png',
        f'manipulated_sequences/Deepfakes/c23/{level}/071_054/0000.png',
    )
    for split, pairs in dict(train='[["071", "054"]]').items():
        (root / f'{split}.json').write_text(pairs)
    for split in ('val', 'test'):
        (root / f'{split}.json').write_text('[]')
    videos = {v.video_id: v.path for v in list_videos(root) if v.exists}
    assert {*videos} == {'youtube/c23/071', 'Deepfakes/c23/071_054'}
    assert all(path.parent.name == level for path in videos.values())


def test_a_fakes_original_is_the_real_video_of_its_target(tree):
    videos = list_videos(tree(), compression='c23')
    reals = {v.video_id: v.split for v in videos if not v.label}
    fakes = [v for v in videos if v.label]
    for video in fakes:
        assert reals[video.original] == video.split
        target = video.video_id.split('/')[-1].split('_')[0]
        assert video.original == f'youtube/c23/{target}'
    assert not any(v.original for v in videos if not v.label)
