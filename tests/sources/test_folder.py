import pytest

from gml_mmaction.errors import DataError
from gml_mmaction.sources import get_entry
from gml_mmaction.sources.folder import list_videos
from gml_mmaction.sources.options import list_with_notes
from gml_mmaction.video.files import VIDEO_SUFFIXES


def table(videos):
    return [(v.video_id, v.label, v.method, v.split) for v in videos]


def test_real_and_fake_are_all_for_testing(touch):
    root = touch('real/a.mp4', 'real/deep/er/b.MOV', 'fake/c.webm')
    assert table(list_videos(root)) == [
        ('real/a', 0, 'real', 'test'),
        ('real/deep/er/b', 0, 'real', 'test'),
        ('fake/c', 1, 'fake', 'test'),
    ]


def test_train_val_and_test_are_splits(touch):
    root = touch('val/fake/a.avi', 'train/real/b.gif', 'test/fake/x/y/c.mkv')
    assert table(list_videos(root)) == [
        ('train/real/b', 0, 'real', 'train'),
        ('val/fake/a', 1, 'fake', 'val'),
        ('test/fake/x/y/c', 1, 'x', 'test'),
    ]


def test_a_folder_below_fake_is_the_method(touch):
    root = touch('fake/SimSwap/a.mp4', 'fake/b.mp4', 'real/x/c.mp4')
    assert {v.method for v in list_videos(root)} == {'SimSwap', 'fake', 'real'}


@pytest.mark.parametrize('suffix', sorted(VIDEO_SUFFIXES))
def test_a_video_is_known_by_its_suffix_in_any_case(touch, suffix):
    root = touch(f'fake/a{suffix}', f'fake/b{suffix.upper()}')
    assert len(list_videos(root)) == 2


def test_what_is_no_video_is_left_out(touch):
    root = touch('fake/a.mp4', 'fake/._a.mp4', 'fake/.x/b.mp4', 'fake/c.txt')
    assert [v.video_id for v in list_videos(root)] == ['fake/a']


def test_files_that_differ_by_suffix_have_two_ids(touch):
    root = touch('fake/a.mp4', 'fake/a.avi', 'fake/b.avi')
    ids = [video.video_id for video in list_videos(root)]
    assert ids == ['fake/a_avi', 'fake/a_mp4', 'fake/b']


def test_links_that_lead_out_are_not_followed_and_named(touch, tmp_path):
    elsewhere = touch('c23/a.mp4', root=tmp_path / 'elsewhere')
    root = touch('fake/swap/b.mp4', 'real/c.mp4', root=tmp_path / 'mine')
    (root / 'fake/Deepfakes').symlink_to(elsewhere)
    (root / 'real/up').symlink_to('..')
    (root / 'real/d.mp4').symlink_to('../fake/swap/b.mp4')
    videos, notes = list_with_notes('folder', root, {})
    assert [v.video_id for v in videos] == ['real/c', 'fake/swap/b']
    assert [note for note in notes if 'links' in note] == [
        '3 links leading out of the data set, not followed (copy the files '
        'into the data set): fake/Deepfakes, real/d.mp4, real/up'
    ]


def test_a_set_may_be_made_of_links_to_folders_but_not_of_loops(
    touch, tmp_path
):
    elsewhere = touch('a.mp4', root=tmp_path / 'elsewhere')
    root = touch('fake/b.mp4', root=tmp_path / 'mine')
    (root / 'real').symlink_to(elsewhere)
    assert len(list_videos(root)) == 2
    (root / 'real').unlink()
    (root / 'real').symlink_to('.')
    videos, notes = list_with_notes('folder', root, {})
    assert [v.video_id for v in videos] == ['fake/b']
    assert notes[-1].endswith('real')


def test_the_notes_tell_of_a_split_without_reals(touch):
    root = touch('test/fake/a.mp4', 'train/fake/b.mp4', 'train/real/c.mp4')
    notes = get_entry('folder').notes(list_videos(root))
    assert [note for note in notes if 'AUC' in note] == [
        'test: only fake, no real, so no AUC'
    ]


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        ([], 'no videos in real and fake'),
        (['a.mp4', 'real/readme.txt'], 'no videos in real and fake'),
        (['real/a.mp4', 'test/fake/b.mp4'], 'Remedy: one of the two'),
    ],
)
def test_another_layout_is_refused(touch, names, message):
    with pytest.raises(ValueError, match=message):
        list_videos(touch(*names))


def test_every_file_is_read_or_named(touch):
    root = touch('real/a.mp4', 'real/b.MTS', 'real/c.3gp', 'fake/d.txt')
    videos, notes = list_with_notes('folder', root, {})
    assert len(videos) == 3
    assert '1 file without the name of a video: fake/d.txt' in notes


def genuine(touch, people=10):
    return touch(
        'real/alone.mp4',
        *(f'real/p{i}/{name}.mp4' for i in range(people) for name in 'ab'),
    )


def test_genuine_videos_alone_are_divided_by_their_people(touch):
    root = genuine(touch)
    videos = list_videos(root, val_fraction=0.2)
    people = {
        split: {v.people for v in videos if v.split == split}
        for split in ('train', 'val')
    }
    assert len(videos) == 21
    assert len(people['val']) == 2
    assert len(people['train']) == 9
    assert not people['train'] & people['val']
    assert videos == list_videos(root, val_fraction=0.2)
    assert {v.split for v in list_videos(root)} == {'test'}


def test_any_folder_of_videos_is_genuine_where_a_share_is_asked_for(touch):
    """People are divided as in a folder real; ids lack it."""
    root = touch('ann/1.mp4', 'ann/2/b.mp4', 'bob/1.mp4', 'c.mp4', 'notes.txt')
    videos = list_videos(root, val_fraction=0.3)
    assert {(v.video_id, *v.people) for v in videos} == {
        ('ann/1', 'folder/ann'),
        ('ann/2/b', 'folder/ann'),
        ('bob/1', 'folder/bob'),
        ('c', 'folder/c'),
    }
    assert {(v.label, v.method) for v in videos} == {(0, 'real')}
    assert len({v.people for v in videos if v.split == 'val'}) == 1
    there = [path for path in root.iterdir() if path.name != 'notes.txt']
    (root / 'real').mkdir()
    for path in there:
        path.rename(root / 'real' / path.name)
    again = list_videos(root, val_fraction=0.3)
    assert [(v.people, v.split) for v in again] == [
        (v.people, v.split) for v in videos
    ]


def test_a_person_more_moves_few_others(touch, tmp_path):
    split = {}
    for people in (20, 21):
        root = genuine(touch, people)
        videos = list_videos(root, val_fraction=0.2)
        split[people] = {v.video_id: v.split for v in videos}
    moved = [k for k, v in split[20].items() if split[21][k] != v]
    assert len(moved) <= 2


@pytest.mark.parametrize(
    ('names', 'share', 'message'),
    [
        (['real/a.mp4', 'fake/b.mp4'], 0.5, 'leave it out'),
        (['train/real/a.mp4'], 0.5, 'leave it out'),
        (['real/a.mp4', 'real/b.mp4'], 1.0, 'another fraction'),
        (['real/a.mp4', 'real/b.mp4'], 0.0, 'another fraction'),
        (['real/p/a.mp4', 'real/p/b.mp4'], 0.5, 'of 1 folder in'),
    ],
)
def test_a_share_that_divides_nothing_is_refused(touch, names, share, message):
    with pytest.raises(ValueError, match=message):
        list_videos(touch(*names), val_fraction=share)


def test_a_split_of_genuine_videos_alone_may_serve_pseudo_fakes(touch):
    root = touch('train/real/a.mp4', 'test/fake/b.mp4')
    notes = get_entry('folder').notes(list_videos(root))
    assert notes[1].startswith(
        'train: only real, no fake, so no AUC; pseudo-fakes'
    )
    assert notes[2] == 'test: only fake, no real, so no AUC'


def test_a_list_of_pairs_names_the_originals(touch):
    root = touch(
        'train/real/a.mp4', 'train/fake/swap/a_b.mp4', 'train/fake/c.mp4'
    )
    (root / 'pairs.csv').write_text(
        'file,original\ntrain/fake/swap/a_b.mp4,train/real/a.mp4\n'
    )
    assert {v.video_id: v.original for v in list_videos(root)} == {
        'train/real/a': '',
        'train/fake/swap/a_b': 'train/real/a',
        'train/fake/c': '',
    }


@pytest.mark.parametrize(
    ('table', 'line'),
    [
        ('a,b\n1,2\n', r"pairs\.csv: no column 'file'"),
        (
            'file,of\n1,2\n',
            r"no column 'original' in its first line \(file,of\)\. Remedy: a "
            'CSV file with the first line file,original$',
        ),
        ('file,original\nfake/no.mp4,real/a.mp4\n', r'line 2: no fake'),
        ('file,original\nfake/b.mp4,real/no.mp4\n', r'line 2: no fake'),
        ('file,original\nreal/a.mp4,real/a.mp4\n', r'line 2: no fake'),
        ('file,original\nfake/b.mp4\n', r'line 2: no fake'),
        (
            'file,original\nfake/b.mp4,real/a.mp4\nfake/b.mp4,real/c.mp4\n',
            'line 3: another original',
        ),
        ('file,original\nfake/b.mp4,../../real/a.mp4\n', r'line 2: no fake'),
    ],
)
def test_a_list_of_pairs_that_names_others_is_refused(touch, table, line):
    root = touch('real/a.mp4', 'real/c.mp4', 'fake/b.mp4')
    (root / 'pairs.csv').write_text(table)
    with pytest.raises(DataError, match=line):
        list_videos(root)
