import tarfile

import cv2
import numpy as np
import pytest

from gml_mmaction.sources import get_entry
from gml_mmaction.sources.wilddeepfake import list_videos
from gml_mmaction.video import open_video

# folder of the set, sequence and grey level of its images
SEQUENCES = [
    ('real_train', '1/real/7', 10),
    ('fake_train', '1/fake/131', 20),
    ('fake_train', '1/fake/132', 30),
    ('fake_test', '2/fake/5', 40),
]


@pytest.fixture
def unpacked(tmp_path):
    root = tmp_path / 'unpacked'
    for folder, sequence, grey in SEQUENCES:
        path = root / folder / sequence
        path.mkdir(parents=True)
        for number in (9, 10, 12):
            image = np.full((8, 8, 3), grey + number, np.uint8)
            assert cv2.imwrite(str(path / f'{number}.png'), image)
    return root


@pytest.fixture
def packed(unpacked, tmp_path):
    """Archives as they are downloaded: ./1/fake/131/9.png in 1.tar.gz."""
    root = tmp_path / 'packed'
    for folder in unpacked.glob('*/*'):
        target = root / folder.parent.name
        target.mkdir(parents=True, exist_ok=True)
        with tarfile.open(target / f'{folder.name}.tar.gz', 'w:gz') as archive:
            archive.add(folder, arcname=f'./{folder.name}')
    return root


def table(videos):
    return [
        (v.video_id, v.label, v.method, v.split, v.cropped) for v in videos
    ]


def test_archives_and_their_folders_are_the_same_sequences(packed, unpacked):
    assert table(list_videos(packed)) == table(list_videos(unpacked))
    assert set(table(list_videos(packed))) == {
        (f'{folder}/{name}', int('fake' in name), *folder.split('_'), True)
        for folder, name, _ in SEQUENCES
    }


def test_the_reader_of_sequences_finds_what_is_listed(packed, unpacked):
    greys = {f'{folder}/{name}': grey for folder, name, grey in SEQUENCES}
    for root in (packed, unpacked):
        for video in list_videos(root):
            with open_video(video.path, video.member) as reader:
                levels = [int(f.mean()) for f in reader.frames()]
            grey = greys[video.video_id]
            assert levels == [grey + 9, grey + 10, grey + 12]


def test_folders_of_folders_do_as_well(unpacked):
    for name in ('real_train', 'fake_train'):
        (unpacked / name).rename(unpacked / name.replace('_', '-'))
        (unpacked / name.split('_')[0]).mkdir()
        (unpacked / name.replace('_', '-')).rename(
            unpacked / name.replace('_', '/')
        )
    assert len(list_videos(unpacked)) == 4
    assert {v.video_id.split('/')[0] for v in list_videos(unpacked)} == {
        name for name, _, _ in SEQUENCES
    }


def test_an_archive_that_was_unpacked_beside_is_not_listed_twice(
    packed, unpacked
):
    once = table(list_videos(packed))
    archive = packed / 'fake_train/1.tar.gz'
    (unpacked / 'fake_train/1').rename(archive.parent / '1')
    assert table(list_videos(packed)) == once
    assert archive not in {video.path for video in list_videos(packed)}


def test_sequences_right_in_an_archive_get_its_name(unpacked, tmp_path):
    root = tmp_path / 'flat'
    (root / 'fake_test').mkdir(parents=True)
    with tarfile.open(root / 'fake_test/3.tar.gz', 'w:gz') as archive:
        archive.add(unpacked / 'fake_test/2/fake/5', arcname='17')
        archive.add(unpacked / 'fake_test/2/fake/5/9.png', arcname='._9.png')
    (video,) = list_videos(root)
    assert (video.video_id, video.member) == ('fake_test/3/17', '17')


def test_the_notes_advise_to_unpack(packed, unpacked):
    notes = get_entry('wilddeepfake').notes
    assert any(
        'unpacked they are faster' in note
        for note in notes(list_videos(packed))
    )
    assert not any('unpack' in note for note in notes(list_videos(unpacked)))


def test_half_an_archive_is_named(packed):
    path = packed / 'fake_train/1.tar.gz'
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r'fake_train.1\.tar\.gz: not a who'):
        list_videos(packed)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match='a folder with real_train, fake_train'
    ):
        list_videos(tmp_path)
