import itertools
from collections import Counter
from pathlib import PurePath

import pytest

from gml_mmaction.sources import get_entry, get_source
from gml_mmaction.sources.celeb_df import list_videos
from gml_mmaction.sources.options import list_with_notes

LIST = 'List_of_testing_videos.txt'
PEOPLE = range(8)
TESTED = """\
1 Celeb-real/id0_0001.mp4
1 YouTube-real/00002.mp4
0 Celeb-synthesis/id0_id1_0001.mp4
0 Celeb-synthesis/id7_id6_0001.mp4
"""


def official_names(youtube='YouTube-real/', synthesis='Celeb-synthesis/'):
    """Two real videos of each of eight celebrities, and fakes of all pairs."""
    names = [f'Celeb-real/id{i}_000{n}' for i in PEOPLE for n in (0, 1)]
    names += [f'{youtube}0000{n}' for n in range(6)]
    names += [
        f'{synthesis}id{a}_id{b}_000{n}'
        for a, b in itertools.permutations(PEOPLE, 2)
        for n in (0, 1)
    ]
    return [f'{name}.mp4' for name in names]


@pytest.fixture
def tree(touch):
    def make(names=None, tested=TESTED):
        root = touch(*(official_names() if names is None else names))
        (root / LIST).write_text(tested)
        return root

    return make


def split_of(videos, split):
    return [video for video in videos if video.split == split]


def people_of(videos):
    return {person for video in videos for person in video.people}


def test_the_lists_1_is_real(tree):
    """SelfBlendedImages (src/inference/datasets.py): 1-int(line[0])."""
    test = split_of(list_videos(tree()), 'test')
    assert {(v.video_id, v.label, v.method) for v in test} == {
        ('Celeb-real/id0_0001', 0, 'real'),
        ('YouTube-real/00002', 0, 'real'),
        ('Celeb-synthesis/id0_id1_0001', 1, 'Celeb-synthesis'),
        ('Celeb-synthesis/id7_id6_0001', 1, 'Celeb-synthesis'),
    }


def test_test_videos_are_never_in_training(tree):
    """DeepfakeBench (preprocessing/rearrange.py) trains on the 518 too."""
    root = tree()
    videos = list_videos(root)
    paths = [video.path for video in videos]
    assert len(set(paths)) == len(paths)
    listed = {root / line.split()[1] for line in TESTED.splitlines()}
    assert {v.path for v in videos if v.split == 'test'} == listed
    assert all(video.exists for video in videos)


@pytest.mark.parametrize('levels', ['', 'videos/'])
@pytest.mark.parametrize('spelling', ['YouTube-real', 'Youtube-real'])
@pytest.mark.parametrize('listed', ['YouTube-real', 'Youtube-real'])
def test_either_spelling_with_or_without_videos_is_one_set(
    touch, tmp_path, spelling, listed, levels
):
    """SelfBlendedImages' README has Youtube-real and videos, others not."""
    names = [name.replace('/', f'/{levels}') for name in official_names()]
    names = [name.replace('YouTube-real', spelling) for name in names]
    for root in (tmp_path / 'a', tmp_path / 'b'):
        touch(LIST, root=root)
    touch(*official_names(), root=tmp_path / 'a')
    touch(*names, root=tmp_path / 'b')
    (tmp_path / 'a' / LIST).write_text(TESTED)
    (tmp_path / 'b' / LIST).write_text(TESTED.replace('YouTube-real', listed))
    a, b = list_videos(tmp_path / 'a'), list_videos(tmp_path / 'b')
    assert [(v.video_id, v.split, v.label, v.people) for v in a] == [
        (v.video_id, v.split, v.label, v.people) for v in b
    ]
    assert all(video.exists for video in b)


def test_a_val_identity_is_never_trained_on(tree):
    videos = list_videos(tree(), val_fraction=0.3)
    train, val = split_of(videos, 'train'), split_of(videos, 'val')
    assert not people_of(train) & people_of(val)
    assert {video.label for video in val} == {0, 1}
    assert sum('/id' in person for person in people_of(val)) == 2
    assert sum('YouTube' in person for person in people_of(val)) == round(
        0.3 * 5
    )


def test_fakes_of_one_val_and_one_training_identity_are_left_out(tree):
    root = tree()
    videos = list_videos(root)
    val = people_of(split_of(videos, 'val'))
    listed = {video.path for video in videos}
    left_out = [path for path in root.rglob('*.mp4') if path not in listed]
    assert left_out
    for path in left_out:
        people = {f'cdf/{name}' for name in path.stem.split('_')[:2]}
        assert len(people & val) == 1
    assert any(
        f'left out: {len(left_out)} fakes of a val' in note
        for note in get_entry('cdf').notes(videos)
    )


def test_val_does_not_depend_on_the_order_of_files_and_can_be_empty(
    tree, touch, tmp_path
):
    names = official_names()
    first = list_videos(tree())
    root = touch(*reversed(names), LIST, root=tmp_path / 'again')
    (root / LIST).write_text(TESTED)
    assert [(v.video_id, v.split) for v in list_videos(root)] == [
        (v.video_id, v.split) for v in first
    ]
    whole = list_videos(root, val_fraction=0)
    assert len(whole) == len(names)
    assert not split_of(whole, 'val')
    (note,) = (n for n in get_entry('cdf').notes(whole) if 'official val' in n)
    assert 'no checkpoint is the best one' in note


@pytest.mark.parametrize('pairs', [2, 3, 5])
def test_val_of_pairs_has_a_whole_pair(tree, pairs):
    names = [f'Celeb-real/id{i}_0000.mp4' for i in range(2 * pairs)]
    for i in range(0, 2 * pairs, 2):
        names += [f'Celeb-synthesis/id{i}_id{i + 1}_0000.mp4']
    val = split_of(list_videos(tree(names, '')), 'val')
    assert Counter(video.label for video in val) == {0: 2, 1: 1}


def test_a_fake_belongs_to_both_the_original_first(tree):
    """Issue 6 of celeb-deepfakeforensics: aa original, bb swapped id."""
    videos = {v.video_id: v for v in list_videos(tree(), val_fraction=0)}
    assert videos['Celeb-synthesis/id3_id5_0000'].people == (
        'cdf/id3',
        'cdf/id5',
    )
    assert videos['Celeb-real/id3_0000'].people == ('cdf/id3',)
    assert videos['YouTube-real/00001'].people == ('cdf/YouTube-real/00001',)


def test_the_notes_count_test_identities_that_are_trained_on(tree):
    videos = list_videos(tree(), val_fraction=0)
    # id0, id1, id6, id7 and one of YouTube are tested
    assert any(
        '4 of 5 identities' in n for n in get_entry('cdf').notes(videos)
    )


def test_the_notes_tell_what_the_tree_holds_beside_what_it_should(tree):
    videos = list_videos(tree())
    real, fake = 2 * 8 + 6, 2 * 8 * 7
    for name in ('cdf1', 'cdf', 'cdfpp'):
        notes = get_entry(name).notes(videos)
        assert f'in the tree: {real} real, {fake} fake' in notes[0]
    assert '590 + 300 real and 5639 fake' in get_entry('cdf').notes(videos)[0]
    assert get_entry('cdf').notes([]) == []


def test_a_listed_video_that_is_absent_is_listed_as_missing(tree):
    root = tree()
    (root / 'YouTube-real/00002.mp4').unlink()
    missing = [video for video in list_videos(root) if not video.exists]
    assert [video.path for video in missing] == [
        root / 'YouTube-real/00002.mp4'
    ]
    assert missing[0].split == 'test'


@pytest.mark.parametrize('listed', ['Celeb-DF', 'Celeb-DF-v2'])
def test_the_method_of_celeb_df_plus_plus_is_its_folder(tree, listed):
    """Celeb-DF-PP's README says Celeb-DF, its rearrange.py Celeb-DF-v2."""
    methods = ['FaceSwap/Celeb-DF', 'TalkingFace/EDTalk', 'FaceReenact/LIA']
    names = [
        name
        for method in methods
        for name in official_names(synthesis=f'Celeb-synthesis/{method}/')
    ]
    tested = ''.join(
        f'0 Celeb-synthesis/{method}/id1_id2_0000.mp4\n' for method in methods
    ).replace('/Celeb-DF/', f'/{listed}/')
    videos = get_source('cdfpp')(tree(names, tested), val_fraction=0)
    test = split_of(videos, 'test')
    assert [video.method for video in test] == methods
    assert all(video.exists for video in test)
    assert len({video.video_id for video in videos}) == len(set(names))
    counts = get_entry('cdfpp').counts
    assert {('test', method) for method in methods} < counts.keys()


def test_the_published_test_counts_add_up():
    """GenD issue 8: 178 real, 5240 fake in Celeb-DF++; v2's list has 518."""
    plus_plus = dict(get_entry('cdfpp').counts)
    assert plus_plus.pop(('test', 'real')) == 178
    assert len(plus_plus) == 22
    assert sum(plus_plus.values()) == 5240
    assert sum(get_entry('cdf').counts.values()) == 518
    assert not get_entry('cdf1').counts


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('2 Celeb-real/id0_0001.mp4', r'line 2: .*expected "1 YouTube-real'),
        ('Celeb-real/id0_0001.mp4', r'line 2: .*expected'),
        ('1 Celeb-real/id0_0001', r'line 2: .*expected'),
        ('1 id0_0001.mp4', r'line 2: .*expected'),
        ('1 elsewhere/id0_0001.mp4', r'line 2: .*expected'),
        ('1 Celeb-real/../../x.mp4', r'line 2: .*expected'),
        ('0 Celeb-real/id0_0001.mp4', r'line 2: .*1 is real and 0 is fake'),
        ('1 Celeb-synthesis/id0_id1_0001.mp4', r'line 2: .*1 is real'),
    ],
)
def test_a_malformed_line_is_left_out_and_named(tree, line, message):
    root = tree(tested=f'\n{line}\n')
    with pytest.raises(ValueError, match=LIST) as error:
        list_videos(root)
    assert error.match(message)
    assert '\n' not in str(error.value)
    (root / LIST).write_text(f'1 Celeb-real/id1_0000.mp4\n{line}\n')
    videos, notes = list_with_notes('cdf', root, {})
    tested = split_of(videos, 'test')
    assert [video.video_id for video in tested] == ['Celeb-real/id1_0000']
    assert notes[-1] == f'1 line that cannot be read: {LIST}, line 2: {line}'
    assert PurePath(line).stem not in {video.path.stem for video in videos}


def test_blank_lines_and_windows_line_ends_are_read(tree):
    root = tree()
    (root / LIST).write_bytes(
        b'\xef\xbb\xbf' + TESTED.replace('\n', '\r\n\r\n').encode()
    )
    assert len(split_of(list_videos(root), 'test')) == 4


def test_without_its_list_a_tree_is_refused(tree, tmp_path):
    root = tree()
    (root / LIST).unlink()
    with pytest.raises(ValueError, match='copy it from the official download'):
        list_videos(root)
    with pytest.raises(ValueError, match='no such folder'):
        list_videos(tmp_path / 'nowhere')


@pytest.mark.parametrize('fraction', [-0.1, 1, 2])
def test_a_fraction_that_is_none_is_refused(tree, fraction):
    with pytest.raises(ValueError, match='val_fraction'):
        list_videos(tree(), val_fraction=fraction)


@pytest.mark.parametrize('group', ['', 'FaceSwap/SimSwap/'])
def test_the_original_of_a_swap_is_the_video_of_its_first_name(tree, group):
    names = official_names(synthesis=f'Celeb-synthesis/{group}')
    videos = list_videos(tree(names), val_fraction=0)
    reals = {v.video_id for v in videos if not v.label}
    for video in (v for v in videos if v.label):
        first, _, number = video.video_id.split('/')[-1].split('_')
        assert video.original == f'Celeb-real/{first}_{number}'
        assert video.original in reals or video.split == 'test'


def test_of_a_talking_face_no_original_is_named(tree):
    names = official_names(synthesis='Celeb-synthesis/TalkingFace/FLOAT/')
    videos = list_videos(tree(names, '1 Celeb-real/id0_0001.mp4'))
    assert sum(v.label for v in videos) > 0
    assert {v.original for v in videos} == {''}
