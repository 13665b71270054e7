import pytest

from gml_mmaction.sources import get_entry
from gml_mmaction.sources.dfd import list_videos
from gml_mmaction.sources.options import list_with_notes

REALS = ('01__exit_phone_room', '02__podium_speech_happy')
FAKES = (
    '01_02__exit_phone_room__YVGY8LOK',
    '02_01__podium_speech_happy__0MNMSQHI',
)


@pytest.fixture
def tree(tmp_path):
    """Write a tree of empty files with the official names."""

    def make(compression='c23', masks=FAKES[:1]):
        fakes = 'manipulated_sequences/DeepFakeDetection'
        folders = {
            f'original_sequences/actors/{compression}/videos': REALS,
            f'{fakes}/{compression}/videos': FAKES,
            f'{fakes}/masks/videos': masks,
        }
        for folder, names in folders.items():
            (tmp_path / folder).mkdir(parents=True)
            for name in names:
                (tmp_path / folder / f'{name}.mp4').touch()
        return tmp_path

    return make


def test_every_video_is_for_testing(tree):
    """No split: https://github.com/ondyari/FaceForensics/issues/63."""
    videos = list_videos(tree())
    assert [video.split for video in videos] == ['test'] * 4
    assert [video.label for video in videos] == [0, 0, 1, 1]
    assert [video.method for video in videos][1:3] == [
        'real',
        'DeepFakeDetection',
    ]
    assert all(video.exists for video in videos)


def test_actors_are_read_from_the_name_target_first(tree):
    """FaceForensics++'s dataset/README.md, "Manipulated sequence ..."."""
    people = [video.people for video in list_videos(tree())]
    assert people == [
        ('dfd/01',),
        ('dfd/02',),
        ('dfd/01', 'dfd/02'),
        ('dfd/02', 'dfd/01'),
    ]


def test_a_fake_has_its_mask_where_the_tree_holds_it(tree):
    """Scenes show several: yermandy/deepfake-detection, issue 7."""
    root = tree()
    masks = [video.mask for video in list_videos(root)]
    folder = root / 'manipulated_sequences/DeepFakeDetection/masks/videos'
    assert masks == [None, None, folder / f'{FAKES[0]}.mp4', None]


def test_missing_masks_are_noted(tree):
    notes = get_entry('dfd').notes(list_videos(tree()))
    assert any('1 of 2 fakes have a mask' in note for note in notes)


def test_c0_is_raw(tree):
    videos = list_videos(tree('raw'), compression='c0')
    assert len(videos) == 4
    assert videos[0].video_id == f'actors/raw/{REALS[0]}'


def test_published_are_363_reals_and_3068_fakes():
    """FaceForensics++'s dataset/README.md, "Space requirement"."""
    counts = get_entry('dfd').counts
    assert [*counts.values()] == [363, 3068]


def test_half_of_the_download_will_do(tree):
    root = tree()
    (root / 'original_sequences').rename(root / 'elsewhere')
    assert [video.label for video in list_videos(root)] == [1, 1]


def test_without_either_folder_the_download_is_named(tmp_path):
    with pytest.raises(ValueError, match='-d DeepFakeDetection_original'):
        list_videos(tmp_path)


def test_a_file_of_another_name_is_left_out_and_named(tree):
    root = tree()
    folder = root / 'original_sequences/actors/c23/videos'
    (folder / '._01__exit_phone_room.mp4').touch()  # of an archive program
    assert len(list_videos(root)) == 4
    (folder / '071.mp4').touch()
    videos, notes = list_with_notes('dfd', root, {})
    assert len(videos) == 4
    assert notes[-1].startswith('1 name other than those of DeepFakeDetection')
    assert notes[-1].endswith('videos/071.mp4')


def test_the_original_of_a_fake_is_its_target_in_the_same_scene(tree):
    originals = [video.original for video in list_videos(tree())]
    assert originals == ['', '', *(f'actors/c23/{name}' for name in REALS)]
