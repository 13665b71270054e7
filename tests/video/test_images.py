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
