import pytest

from gml_mmaction.sources import get_entry
from gml_mmaction.sources.uadfv import list_videos


@pytest.mark.parametrize('level', ['', 'videos/'])
def test_every_video_is_for_testing_and_a_fake_is_its_originals(touch, level):
    """DeepfakeBench puts each of them in train, val and test at once."""
    root = touch(f'real/{level}0000.mp4', f'fake/{level}0000_fake.mp4')
    videos = list_videos(root)
    assert [(v.video_id, v.label, v.split) for v in videos] == [
        ('real/0000', 0, 'test'),
        ('fake/0000_fake', 1, 'test'),
    ]
    assert {video.people for video in videos} == {('uadfv/0000',)}


def test_half_a_tree_is_listed_and_the_other_half_is_in_the_counts(touch):
    root = touch('real/0000.mp4')
    assert [video.label for video in list_videos(root)] == [0]
    counts = get_entry('uadfv').counts
    assert counts == {('test', 'real'): 49, ('test', 'fake'): 49}


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match='no folder real and no folder fake'):
        list_videos(tmp_path)


def test_the_original_of_a_fake_has_its_number(touch):
    root = touch('real/0000.mp4', 'fake/0000_fake.mp4')
    assert [v.original for v in list_videos(root)] == ['', 'real/0000']
