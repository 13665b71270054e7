import pytest
from videos import decode

from gml_mmaction.sources import get_source
from gml_mmaction.synthetic.trees import make_celeb_df_tree, make_dfo_tree
from gml_mmaction.video.distortions import read_meta

VARIANTS = ['end_to_end', 'end_to_end_mix_2_distortions']


@pytest.fixture(scope='module')
def dfo(ffpp_tree, tmp_path_factory):
    out = tmp_path_factory.mktemp('trees') / 'DeeperForensics-1.0'
    make_dfo_tree(ffpp_tree, out, variants=VARIANTS)
    return out


def test_every_video_of_the_dfo_lists_is_there(dfo, ffpp_tree):
    list_videos = get_source('dfo')
    for variant in VARIANTS:
        videos = list_videos(
            dfo, ffpp=ffpp_tree, variant=variant, protocol='official'
        )
        assert all(video.exists for video in videos)
        assert sum(video.label for video in videos) == 6


def test_one_target_of_the_official_test_is_trained_on_in_ffpp(dfo, ffpp_tree):
    fakes = [
        video
        for video in get_source('dfo')(
            dfo, ffpp=ffpp_tree, protocol='official'
        )
        if video.label and video.split == 'test'
    ]
    trained = {'ffpp/071', 'ffpp/054'}
    assert len([v for v in fakes if v.people[0] in trained]) == 1


def test_a_distorted_copy_is_what_its_meta_file_says(dfo):
    folder = dfo / 'lists/manipulated_videos_distortions_meta'
    (path,) = folder.iterdir()
    meta = read_meta(path)
    assert {len(distortions) for distortions in meta.values()} == {2}
    for name in meta:
        copy = decode(dfo / 'manipulated_videos' / name)
        clean = decode(
            dfo / 'manipulated_videos/end_to_end' / name.split('/')[1]
        )
        assert len(copy) == len(clean)
        assert abs(copy[0].astype(int) - clean[0]).mean() > 1


def test_the_celeb_df_list_is_the_test_split_and_one_means_real(
    ffpp_tree, tmp_path
):
    make_celeb_df_tree(ffpp_tree, tmp_path)
    lines = (tmp_path / 'List_of_testing_videos.txt').read_text().splitlines()
    assert sorted(lines) == [
        '0 Celeb-synthesis/id953_id974_0000.mp4',
        '0 Celeb-synthesis/id974_id953_0000.mp4',
        '1 Celeb-real/id953_0000.mp4',
        '1 YouTube-real/00000.mp4',
    ]
    videos = get_source('cdf')(tmp_path)
    assert all(video.exists for video in videos)
    tested = [video for video in videos if video.split == 'test']
    assert sorted(video.label for video in tested) == [0, 0, 1, 1]
