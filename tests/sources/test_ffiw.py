import pytest

from gml_mmaction.sources import get_entry
from gml_mmaction.sources.ffiw import list_videos


@pytest.fixture
def tree(touch):
    def make(level='', folders=('train', 'val')):
        return touch(
            *(
                f'{top}/{folder}/{level}{name}.mp4'
                for top in ('source', 'target')
                for folder in folders
                for name in ('000', '001')
            ),
            'target_mask/val/001.mp4',
        )

    return make


@pytest.mark.parametrize('level', ['', 'videos/'])
def test_source_is_real_and_target_is_fake_and_val_is_tested(tree, level):
    """SelfBlendedImages' init_ffiw: source/val real, target/val fake."""
    videos = list_videos(tree(level))
    assert {(v.video_id, v.label, v.split) for v in videos} == {
        (f'{top}/{folder}/{name}', label, split)
        for top, label in (('source', 0), ('target', 1))
        for folder, split in (('train', 'train'), ('val', 'test'))
        for name in ('000', '001')
    }
    assert all(video.exists for video in videos)


@pytest.mark.parametrize('level', ['', 'videos/'])
def test_a_fake_follows_its_mask_where_there_is_one(tree, level):
    """FFIW has some three faces a frame, of which not all are forged."""
    root = tree(level)
    videos = list_videos(root)
    masks = {v.video_id: v.mask for v in videos if v.mask}
    assert masks == {'target/val/001': root / 'target_mask/val/001.mp4'}
    assert '1 of 4 fakes' in get_entry('ffiw').notes(videos)[0]


def test_the_folder_test_is_tested_if_chosen(tree):
    root = tree(folders=('val', 'test'))
    assert {
        (v.video_id.split('/')[1], v.split)
        for v in list_videos(root, test='test')
    } == {('val', 'val'), ('test', 'test')}
    assert {v.video_id.split('/')[1] for v in list_videos(root)} == {'val'}


def test_only_the_numbers_of_val_are_known():
    counts = get_entry('ffiw').counts
    assert sum(counts(test='val').values()) == 500
    assert not counts(test='test')


def test_a_folder_that_is_not_there_is_an_error(tree):
    with pytest.raises(ValueError, match="no folder 'test' in source"):
        list_videos(tree(), test='test')
