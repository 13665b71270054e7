import pytest

from gml_mmaction.errors import DataError
from gml_mmaction.sources.deepfake_eval import LISTS, list_videos
from gml_mmaction.sources.options import list_with_notes

TABLE = """\
Filename,Video Ground Truth,Audio Ground Truth,Finetuning Set
a.mp4,Fake,Real,Test
b.mov,Real,Real,Train
c.mp4,Unknown,Real,Test
"d, e.mp4",fake,"several
lines",train
"""


@pytest.fixture(params=LISTS)
def root(request, touch):
    names = ('a.mp4', 'b.mov', 'c.mp4', 'd, e.mp4')
    root = touch(*(f'video-data/{name}' for name in names))
    (root / request.param).write_text(TABLE)
    return root


def test_all_are_for_testing_unless_the_lists_division_counts(root):
    videos = list_videos(root)
    assert [(v.video_id, v.label, v.split) for v in videos] == [
        ('video-data/a', 1, 'test'),
        ('video-data/b', 0, 'test'),
        ('video-data/d, e', 1, 'test'),
    ]
    assert all(video.exists for video in videos)
    divided = list_videos(root, finetuning=True)
    assert [(v.video_id[-1], v.split) for v in divided] == [
        ('b', 'train'),
        ('e', 'train'),
        ('a', 'test'),
    ]


def test_a_video_of_unknown_label_is_left_out_and_named(root):
    _, notes = list_with_notes('deepfake_eval', root, {})
    assert '1 video whose label is unknown: video-data/c.mp4' in notes


def test_a_list_without_a_column_is_named(root):
    (path,) = root.glob('*.csv')
    path.write_text('Filename,Label\n')
    with pytest.raises(DataError, match=r'no column .*Remedy'):
        list_videos(root)


def test_a_list_that_is_no_csv_is_named(root):
    (path,) = root.glob('*.csv')
    path.write_text(TABLE + 'f.mp4,"' + 200_000 * 'x')
    with pytest.raises(DataError, match=r'not a CSV file .*Remedy'):
        list_videos(root)


def test_a_folder_without_a_list_is_refused(tmp_path):
    with pytest.raises(DataError, match='no video-metadata-publish'):
        list_videos(tmp_path)
