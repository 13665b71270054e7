import io
import tarfile
import zipfile

import cv2
import numpy as np
import pytest

from gml_mmaction.video import VideoError
from gml_mmaction.video.images import ImageSequence


def png(height, width):
    return cv2.imencode('.png', np.zeros((height, width), np.uint8))[1]


def write_archive(path, images):
    if path.suffix == '.zip':
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
            for name, image in images.items():
                archive.writestr(name, image)
        return path
    with tarfile.open(path, 'w:gz') as archive:
        for name, image in images.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(image)
            archive.addfile(entry, io.BytesIO(image))
    return path


@pytest.mark.parametrize('name', ['bomb.zip', 'bomb.tgz'])
def test_an_archive_may_unpack_to_so_much_only(tmp_path, monkeypatch, name):
    images = {'0.png': png(9, 9).tobytes(), '1.png': bytes(3 * 10**6)}
    path = write_archive(tmp_path / name, images)
    assert ImageSequence(path).num_frames == 2
    monkeypatch.setenv('GML_MAX_UNPACKED_MB', '2')
    with pytest.raises(VideoError, match='more than 2 MB; set GML_MAX'):
        ImageSequence(path)


def test_an_image_may_have_so_many_pixels_only(tmp_path, monkeypatch):
    (tmp_path / '0.png').write_bytes(png(1001, 1000))
    assert ImageSequence(tmp_path).num_frames == 1
    monkeypatch.setenv('GML_MAX_MEGAPIXELS', '1')
    with pytest.raises(VideoError, match=r'0\.png has more than 1 million'):
        ImageSequence(tmp_path)


def write_images(folder, *sizes):
    """Write white images, each with a black half on its right."""
    for i, (height, width) in enumerate(sizes):
        image = np.full((height, width), 255, np.uint8)
        image[:, width // 2 :] = 0
        cv2.imwrite(str(folder / f'{i}.png'), image)
    return folder


@pytest.mark.parametrize('read', ['frames', 'frames_at'])
def test_images_of_other_sizes_are_brought_to_the_first(tmp_path, read):
    path = write_images(tmp_path, (60, 80), (60, 80), (120, 160), (30, 40))
    sequence = ImageSequence(path)
    assert sequence.notes == []
    frames = (
        sequence.frames() if read == 'frames' else sequence.frames_at(range(4))
    )
    for frame in frames:
        assert frame.shape == (60, 80, 3)
        assert frame[:, :38].min() == 255
        assert frame[:, 42:].max() == 0
    assert sequence.notes == [
        'the size of frames changes; all brought to the first'
    ]


def test_crops_keep_their_sizes(tmp_path):
    path = write_images(tmp_path, (60, 80), (30, 40))
    sequence = ImageSequence(path, one_size=False)
    shapes = [frame.shape[:2] for frame in sequence.frames()]
    assert shapes == [(60, 80), (30, 40)]
    assert sequence.notes == []


def test_images_of_one_size_have_no_note(tmp_path):
    sequence = ImageSequence(write_images(tmp_path, (60, 80), (60, 80)))
    assert len(list(sequence.frames())) == 2
    assert sequence.notes == []
