import pytest

from gml_mmaction.sources import get_entry
from gml_mmaction.sources.df40 import list_videos


@pytest.fixture
def root(touch):
    return touch(
        'simswap/ff/frames/071_054/000.png',
        'simswap/ff/landmarks/071_054/000.npy',
        'simswap/ff/masks/071_054/000.png',
        'simswap/cdf/frames/id0_id1_0002/000.png',
        'simswap/cdf/frames/id0_id1_0003/000.png',
        'e4e/ff/071/00.jpg',
        'MidJourney/fake/x.png',
    )


def test_fakes_are_face_crops_named_by_method_and_video(root):
    videos = list_videos(root)
    assert [(v.video_id, v.method, v.people) for v in videos] == [
        ('e4e/ff/071', 'e4e', ('ffpp/071',)),
        ('simswap/ff/071_054', 'simswap', ('ffpp/071', 'ffpp/054')),
        ('simswap/cdf/id0_id1_0002', 'simswap', ('cdf/id0', 'cdf/id1')),
        ('simswap/cdf/id0_id1_0003', 'simswap', ('cdf/id0', 'cdf/id1')),
    ]
    assert {(v.label, v.split, v.cropped) for v in videos} == {
        (1, 'test', True)
    }


def test_methods_and_domains_can_be_chosen(root):
    videos = list_videos(root, domains=['ff'], methods=['simswap'])
    assert [video.video_id for video in videos] == ['simswap/ff/071_054']


def test_reals_are_those_of_the_folder_named(root, touch, tmp_path):
    """DF40's README: fake images only; the reals have links of their own."""
    reals = touch(
        'youtube/c23/frames/071/000.png',
        'Celeb-real/frames/id0_0000/000.png',
        root=tmp_path / 'reals',
    )
    videos = [v for v in list_videos(root, reals=reals) if not v.label]
    assert [(v.video_id, v.method, v.people) for v in videos] == [
        ('real/Celeb-real/id0_0000', 'real', ('cdf/id0',)),
        ('real/youtube/c23/071', 'real', ('ffpp/071',)),
    ]
    assert all(video.cropped for video in videos)
    notes = get_entry('df40').notes
    assert not any('AUC' in note for note in notes(videos))
    assert any('no AUC' in note for note in notes(list_videos(root)))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'domains': ['cdfpp']}, "domain 'cdfpp'. Remedy: ff or cdf"),
        ({'methods': ['x']}, "method 'x'. Remedy: one of e4e, simswap"),
        (
            {'domains': ['cdf'], 'methods': ['e4e']},
            "'e4e'. Remedy: one of simswap",
        ),
        ({'reals': 'nowhere'}, 'nowhere: no such folder'),
    ],
)
def test_a_wrong_option_is_answered_by_the_right_ones(root, options, message):
    with pytest.raises(ValueError, match=message):
        list_videos(root, **options)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match='a folder with <method>/ff or'):
        list_videos(tmp_path)
