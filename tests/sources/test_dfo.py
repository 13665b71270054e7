import json
from collections import Counter

import pytest

from gml_mmaction.sources.dfo import SETTINGS, VARIANTS, list_videos
from gml_mmaction.sources.options import (
    list_with_notes,
    source_counts,
    source_notes,
)

PAIRS = {
    'train': [['071', '054'], ['087', '081']],
    'val': [['720', '672']],
    'test': [['953', '974']],
}
# By actor, as the official lists: the test meets targets that FF++ trains on.
SPLITS = {
    'train': ['054_W001', '087_M004', '953_W001'],
    'val': ['081_M005', '720_M005'],
    'test': ['071_M101', '672_W102', '974_M101'],
}
FAKES = [name for names in SPLITS.values() for name in names]
LEVEL_5 = 'end_to_end_level_5'
MIX = 'end_to_end_mix_2_distortions'


@pytest.fixture(scope='module')
def ffpp(tmp_path_factory):
    """Return FaceForensics++'s real videos, empty, with its splits."""
    root = tmp_path_factory.mktemp('ffpp')
    folder = root / 'original_sequences/youtube/c23/videos'
    folder.mkdir(parents=True)
    (root / 'splits').mkdir()
    for split, pairs in PAIRS.items():
        (root / f'splits/{split}.json').write_text(json.dumps(pairs))
        for name in (name for pair in pairs for name in pair):
            (folder / f'{name}.mp4').touch()
    return root


@pytest.fixture
def root(tmp_path):
    """Write DeeperForensics-1.0 with empty files and whole lists."""
    splits = tmp_path / 'lists/splits'
    splits.mkdir(parents=True)
    for split, names in SPLITS.items():
        lines = [f'{name}.mp4\n' for name in names]
        (splits / f'{split}.txt').write_text(''.join(lines))
    for variant in VARIANTS:
        folder = tmp_path / 'manipulated_videos' / variant
        folder.mkdir(parents=True)
        for name in FAKES:
            (folder / f'{name}.mp4').touch()
        if 'level' in variant or 'mix' in variant:
            meta_file(tmp_path, variant).parent.mkdir(exist_ok=True)
            meta_file(tmp_path, variant).write_text(meta_lines(variant))
    # of studio actors, and not for detection
    (tmp_path / 'source_videos/M101/light_up').mkdir(parents=True)
    (tmp_path / 'source_videos/M101/light_up/M101_light_up.mp4').touch()
    return tmp_path


def meta_file(root, variant):
    folder = root / 'lists/manipulated_videos_distortions_meta'
    return folder / f'manipulated_videos_{variant}_meta.txt'


def meta_lines(variant):
    kinds = ['CS', 'CC', 'BW', 'GNC', 'GB', 'JPEG', 'VC', 'CS']
    level = variant[-1] if variant[-1].isdecimal() else '3'
    more = ' GB:1' if 'mix' in variant else ''
    return ''.join(
        f'manipulated_videos/{variant}/{name}.mp4 {kind}:{level}{more}\n'
        for name, kind in zip(FAKES, kinds, strict=True)
    )


def ids(videos, label):
    return [video.video_id for video in videos if video.label == label]


def test_reals_are_the_targets_in_faceforensics_never_source_videos(
    root, ffpp
):
    """The data set's README, "Target videos"; DeepfakeBench's DF-1.0 differs.

    https://github.com/EndlessSora/DeeperForensics-1.0/tree/master/dataset
    """
    for protocol in ('ffpp', 'official'):
        videos = list_videos(root, ffpp=ffpp, protocol=protocol)
        for video in videos:
            assert 'source_videos' not in video.path.parts
            assert video.path.is_relative_to(root) == bool(video.label)
            assert video.exists
            if not video.label:
                target = video.path.stem
                where = 'original_sequences/youtube/c23/videos'
                assert video.path == ffpp / where / f'{target}.mp4'
                assert video.people == (f'ffpp/{target}',)


def test_the_default_test_is_the_fakes_of_faceforensics_test_targets(
    root, ffpp
):
    """RealForensics' test_dfo.csv: all 140 targets are in FF++'s test."""
    videos = list_videos(root, ffpp=ffpp)
    assert ids(videos, 0) == ['youtube/c23/953', 'youtube/c23/974']
    assert ids(videos, 1) == ['end_to_end/953_W001', 'end_to_end/974_M101']
    assert {video.split for video in videos} == {'test'}


def test_the_official_split_is_by_actor_and_reals_follow_their_fakes(
    root, ffpp
):
    """The data set's README, "Lists": the real is the first three digits."""
    videos = list_videos(root, ffpp=ffpp, protocol='official')
    for split, names in SPLITS.items():
        of_split = [video for video in videos if video.split == split]
        assert ids(of_split, 1) == [f'end_to_end/{name}' for name in names]
        assert ids(of_split, 0) == [f'youtube/c23/{n[:3]}' for n in names]
    actors = {}
    for video in videos:
        for person in video.people:
            actors.setdefault(person, set()).add(video.split)
    assert all(len(splits) == 1 for splits in actors.values())


def test_the_overlap_with_training_on_faceforensics_is_counted(root, ffpp):
    """The official split ignores targets, so FF++'s train ids are in it."""
    for protocol, count in (('official', '1 of 3'), ('ffpp', '0 of 2')):
        options = {'ffpp': ffpp, 'protocol': protocol}
        notes = source_notes('dfo', list_videos(root, **options), options)
        line = f"{count} targets of the test are in FaceForensics++'s training"
        assert any(note.startswith(line) for note in notes)


def test_without_faceforensics_splits_the_overlap_is_called_unknown(
    root, ffpp, tmp_path_factory
):
    bare = tmp_path_factory.mktemp('bare')
    options = {'ffpp': bare, 'protocol': 'official'}
    videos = list_videos(root, **options)
    assert any('unknown' in n for n in source_notes('dfo', videos, options))
    options['ffpp_splits'] = ffpp / 'splits'
    assert any('1 of 3' in n for n in source_notes('dfo', videos, options))


def test_each_real_is_distorted_as_the_fake_of_the_same_target(root, ffpp):
    """``000_M101 BW:3`` gives ``000 BW:3``: issue 11 of the data set."""
    videos = list_videos(root, ffpp=ffpp, variant=LEVEL_5)
    clean = ffpp / 'original_sequences/youtube/c23/videos'
    assert {v.video_id: v.distortions for v in videos} == {
        f'youtube/{LEVEL_5}/953': (('BW', 5),),
        f'youtube/{LEVEL_5}/974': (('CS', 5),),
        f'{LEVEL_5}/953_W001': (),  # the file is distorted
        f'{LEVEL_5}/974_M101': (),
    }
    for video in videos:
        target = clean / f'{video.people[0][-3:]}.mp4'
        assert (video.boxes_from or video.path) == target


def test_mixed_distortions_keep_their_order(root, ffpp):
    """The data set's README: the sequence is the order of adding them."""
    videos = list_videos(root, ffpp=ffpp, variant=MIX, protocol='official')
    assert videos[0].video_id == f'youtube/{MIX}/054'
    assert videos[0].distortions == (('CS', 3), ('GB', 1))


def test_clean_reals_are_a_choice_and_are_warned_of(root, ffpp):
    """A model can win by the distortion; LipForensics' reals are clean."""
    options = {'ffpp': ffpp, 'variant': LEVEL_5, 'reals': 'clean'}
    videos = list_videos(root, **options)
    assert ids(videos, 0) == ['youtube/c23/953', 'youtube/c23/974']
    assert not any(video.distortions for video in videos)
    assert any(
        'the distortion alone' in note
        for note in source_notes('dfo', videos, options)
    )


def test_how_the_reals_were_made_is_noted(root, ffpp):
    for reals, how in (('distorted', 'as their fakes'), ('clean', 'they are')):
        options = {'ffpp': ffpp, 'variant': LEVEL_5, 'reals': reals}
        notes = source_notes('dfo', list_videos(root, **options), options)
        assert notes[0].startswith('2 reals: FaceForensics++')
        assert notes[0].endswith(how)


def test_clean_variants_have_clean_reals_and_no_warning(root, ffpp):
    for variant in ('end_to_end', 'reenact_postprocess', 'std'):
        options = {'ffpp': ffpp, 'variant': variant}
        videos = list_videos(root, **options)
        assert not any(video.distortions for video in videos)
        notes = source_notes('dfo', videos, options)
        assert not any('distortion alone' in note for note in notes)


def test_faces_of_fakes_are_found_in_the_real_target(root, ffpp):
    """Advised by the data set's README, "Lists"."""
    for video in list_videos(root, ffpp=ffpp, protocol='official'):
        if video.label:
            target = video.path.name[:3]
            assert video.boxes_from.is_relative_to(ffpp)
            assert video.boxes_from.stem == target
        else:
            assert video.boxes_from is None


def test_sing_is_five_levels_with_each_real_in_all_five(root, ffpp):
    """std/sing: "No. 2" of issue 11 of the data set's repository."""
    videos = list_videos(root, ffpp=ffpp, variant='sing', protocol='official')
    assert len({video.video_id for video in videos}) == len(videos) == 80
    counts = Counter((video.split, video.method) for video in videos)
    assert counts['test', 'real'] == 5 * 3
    for level in range(1, 6):
        assert counts['test', f'end_to_end_level_{level}'] == 3
        real = f'youtube/end_to_end_level_{level}/071'
        (video,) = (video for video in videos if video.video_id == real)
        assert video.distortions == (('JPEG', level),)


def test_clean_reals_of_sing_stand_once(root, ffpp):
    videos = list_videos(root, ffpp=ffpp, variant='sing', reals='clean')
    assert len(ids(videos, 0)) == 2
    assert len(ids(videos, 1)) == 10


@pytest.mark.parametrize('variant', [*SETTINGS, *VARIANTS])
def test_all_eleven_variants_and_their_settings_are_there(root, ffpp, variant):
    assert len(VARIANTS) == 11
    videos = list_videos(root, ffpp=ffpp, variant=variant)
    folders = {video.path.parent.name for video in videos if video.label}
    assert folders == {*SETTINGS.get(variant, (variant,))}
    assert all(video.exists for video in videos)


def test_paths_in_the_lists_may_have_folders_of_either_slash(root, ffpp):
    before = list_videos(root, ffpp=ffpp, variant=LEVEL_5, protocol='official')
    for path in [*(root / 'lists/splits').iterdir(), meta_file(root, LEVEL_5)]:
        text = path.read_text().replace(f'manipulated_videos/{LEVEL_5}/', '')
        lines = [f'C:\\dfo\\{LEVEL_5}\\{line}' for line in text.splitlines()]
        path.write_text('\r\n'.join([*lines, '']))
    videos = list_videos(root, ffpp=ffpp, variant=LEVEL_5, protocol='official')
    assert videos == before


def test_a_former_path_in_the_meta_file_does_not_count(root, ffpp):
    """perturbation/add_distortion_to_video.py keeps its history."""
    path = meta_file(root, MIX)
    text = path.read_text()
    path.write_text(f'tmp/953_W001.mp4 VC:1\n{text}tmp/974_M101.mp4 VC:1\n')
    reals = list_videos(root, ffpp=ffpp, variant=MIX)[:2]
    assert [video.distortions for video in reals] == [
        (('BW', 3), ('GB', 1)),
        (('CS', 3), ('GB', 1)),
    ]


def test_what_the_lists_name_is_expected_and_may_be_absent(root, ffpp):
    lost = root / 'manipulated_videos/end_to_end/953_W001.mp4'
    lost.unlink()
    for protocol in ('ffpp', 'official'):
        videos = list_videos(root, ffpp=ffpp, protocol=protocol)
        assert [v.path for v in videos if not v.exists] == [lost]


def test_without_lists_the_fakes_that_are_there_are_tested(root, ffpp):
    (root / 'lists').rename(root / 'elsewhere')
    (root / 'manipulated_videos/end_to_end/953_W001.mp4').unlink()
    (root / 'manipulated_videos/end_to_end/._974_M101.mp4').touch()
    videos = list_videos(root, ffpp=ffpp)
    assert ids(videos, 1) == ['end_to_end/974_M101']


def test_published_counts_follow_the_test():
    official = source_counts('dfo', {'protocol': 'official'})
    assert official == {
        ('train', 'end_to_end'): 703,
        ('val', 'end_to_end'): 96,
        ('test', 'end_to_end'): 201,
    }
    assert source_counts('dfo', {}) == {
        ('test', 'end_to_end'): 140,
        ('test', 'real'): 140,
    }
    assert source_counts('dfo', {'variant': 'mix'})['test', 'real'] == 420


@pytest.mark.parametrize(
    ('name', 'change', 'message'),
    [
        ('lists/splits/val.txt', None, r'val\.txt: no such list'),
        ('lists/splits/val.txt', 'M005_081\n', r"line 1: 'M005_081' is not"),
        ('lists/splits/val.txt', '054_W001\n', r'054_W001 is in train'),
        (meta_file, None, "no such file.* Remedy: .* reals='clean'"),
        (meta_file, '953_W001.mp4 XX:5\n', 'line 1: unknown distortion XX:5'),
        (meta_file, '974_M101.mp4 CS:5\n', '953_W001 is missing'),
        ('manipulated_videos', None, 'folder of the unzipped DeeperForensics'),
    ],
)
def test_what_is_absent_or_malformed_is_named(
    root, ffpp, name, change, message
):
    path = name(root, LEVEL_5) if callable(name) else root / name
    if change is None:
        path.rename(root / 'elsewhere')
    else:
        path.write_text(change)
    with pytest.raises(ValueError, match=message) as error:
        list_videos(root, ffpp=ffpp, variant=LEVEL_5)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('option', ['variant', 'protocol', 'reals'])
def test_a_wrong_option_is_answered_by_the_right_ones(root, ffpp, option):
    with pytest.raises(ValueError, match=f"unknown {option} 'all'. Remedy"):
        list_videos(root, ffpp=ffpp, **{option: 'all'})


def test_an_odd_line_of_a_list_is_left_out_and_named(root, ffpp):
    options = dict(ffpp=ffpp, protocol='official')
    videos, _ = list_with_notes('dfo', root, options)
    with open(root / 'lists/splits/val.txt', 'a') as file:
        file.write('M005_081\n')
    again, notes = list_with_notes('dfo', root, options)
    assert again == videos
    assert notes[-1].startswith('1 line that cannot be read: lists/splits/val')
    assert notes[-1].endswith(': M005_081')


@pytest.mark.parametrize('reals', ['clean', 'distorted'])
@pytest.mark.parametrize('variant', ['std', 'sing'])
def test_a_fakes_original_is_its_target_distorted_as_it_is(
    root, ffpp, variant, reals
):
    videos = list_videos(
        root, ffpp=ffpp, protocol='official', variant=variant, reals=reals
    )
    by_id = {v.video_id: v for v in videos if not v.label}
    for fake in (v for v in videos if v.label):
        original = by_id[fake.original]
        assert original.people == fake.people[:1]
        if (variant, reals) == ('sing', 'distorted'):
            assert original.video_id.split('/')[1] == fake.method
