import pytest

from gml_mmaction.errors import DataError
from gml_mmaction.sources.forgerynet import list_videos
from gml_mmaction.sources.options import list_with_notes

TRAINING = {
    'train_video_release/6/a1/b.mp4': (
        '2 {} 0 40 0 40 25 1 1 2 4',
        'class-04',
    ),
    'train_video_release/18/c.mp4': ('1 {} 0 65 0 0 0 0', 'real'),
}
VALIDATION = {'val_video_release/1/d.mp4': ('1 {} 3 9 1 1 1 15', 'class-15')}


@pytest.fixture
def tree(touch):
    def make(level='video'):
        for folder, videos in (
            ('Training', TRAINING),
            ('Validation', VALIDATION),
        ):
            root = touch(*(f'{folder}/{level}/{name}' for name in videos))
            lines = [line.format(name) for name, (line, _) in videos.items()]
            (root / folder / 'video_list.txt').write_text('\n'.join(lines))
        return root

    return make


@pytest.mark.parametrize('level', ['video', 'videos'])
def test_a_line_says_segments_video_and_labels(tree, level):
    videos = list_videos(tree(level))
    assert [(v.split, v.label, v.method) for v in videos] == [
        ('train', 1, 'class-04'),
        ('train', 0, 'real'),
        ('test', 1, 'class-15'),
    ]
    assert videos[0].video_id == 'Training/train_video_release/6/a1/b'
    assert all(video.exists for video in videos)


def test_validation_is_for_validation_where_the_test_set_is_tested(tree):
    videos = list_videos(tree(), test='Test')
    assert [v.split for v in videos] == ['train', 'train', 'val']


def test_that_fakes_are_real_in_parts_is_noted(tree):
    _, notes = list_with_notes('forgerynet', tree(), {})
    assert any('wrong label' in note for note in notes)


@pytest.mark.parametrize(
    'line',
    [
        'x',
        '2 a.mp4 0 40 0 1 2 4',
        '1 a.mp4 0 40 0 7 2 4',
        '1 a.mp4 0 40 0 1 2 16',
        '1 ../a.mp4 0 40 0 1 2 4',
        '1 a.mp4 0 forty 0 1 2 4',
        '0',
    ],
)
def test_a_line_that_is_none_is_left_out_and_named(tree, line):
    root = tree()
    with open(root / 'Training/video_list.txt', 'a') as file:
        file.write(f'\n{line}\n')
    videos, notes = list_with_notes('forgerynet', root, {})
    assert len(videos) == 3
    assert 'video_list.txt, line 3' in notes[-1]


def test_a_video_that_is_listed_twice_counts_once(tree):
    root = tree()
    path = root / 'Training/video_list.txt'
    path.write_text(path.read_text() + '\n' + path.read_text())
    videos, notes = list_with_notes('forgerynet', root, {})
    assert len(videos) == 3
    assert any('listed before' in note for note in notes)


def test_a_folder_without_lists_is_refused(tmp_path):
    with pytest.raises(DataError, match='no such data set'):
        list_videos(tmp_path)
