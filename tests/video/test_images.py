import io
import struct
import tarfile
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from gml_mmaction.errors import SettingError
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
    with pytest.raises(
        VideoError, match=r'more than 2 MB\. Remedy: set GML_MAX'
    ):
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


GREW = """
import sys
sys.argv[0] = 'gml'  # a command imports the stack only when it registers
from gml_mmaction.video import VideoError, open_video
# not getrusage, which counts the process that this one came from
status = lambda: open('/proc/self/status').read()
peak = lambda: int(status().split('VmHWM:')[1].split()[0]) // 1024
before = peak()
try:
    open_video(sys.argv[1])
except VideoError as error:
    print(error)
print(peak() - before)
"""


def opened_by_itself(run_python, path):
    """What opening says, and by how many MB the process has grown."""
    done = run_python('-c', GREW, str(path))
    assert done.returncode == 0, done.stderr
    *lines, grew = done.stdout.splitlines()
    return lines, int(grew)


@pytest.mark.parametrize(
    ('packed', 'told'),
    [
        (zipfile.ZIP_DEFLATED, True),
        (zipfile.ZIP_DEFLATED, False),
        (zipfile.ZIP_BZIP2, False),
    ],
    ids=['told', 'hidden', 'hidden in bzip2'],
)
def test_an_archive_is_refused_before_it_fills_the_memory(
    run_python, monkeypatch, tmp_path, packed, told
):
    path, size = tmp_path / 'bomb.zip', 3 * 10**8
    with zipfile.ZipFile(path, 'w', packed) as archive:
        archive.writestr('0.png', bytes(size))
    if not told:
        small = struct.pack('<I', 10**6)
        data = path.read_bytes()
        path.write_bytes(data.replace(struct.pack('<I', size), small))
    monkeypatch.setenv('GML_MAX_UNPACKED_MB', '200')
    (line,), grew = opened_by_itself(run_python, path)
    assert line.startswith('unreadable: ')
    assert ('more than 200 MB' in line) == told
    assert grew < 120


def test_a_gif_of_huge_frames_is_refused_before_it_is_decoded(
    run_python, tmp_path
):
    path = tmp_path / 'huge.gif'
    Image.new('P', (8192, 8192)).save(path)
    (line,), grew = opened_by_itself(run_python, path)
    assert 'more than 36 million pixels (GML_MAX_MEGAPIXELS' in line
    assert grew < 100


@pytest.mark.parametrize('text', ['0', '-1', '1.5', 'many'])
def test_a_limit_that_is_no_number_is_one_line(tmp_path, monkeypatch, text):
    (tmp_path / '0.png').write_bytes(png(10, 10))
    monkeypatch.setenv('GML_MAX_MEGAPIXELS', text)
    with pytest.raises(SettingError, match=r'GML_MAX_MEGAPIXELS=.*Remedy: '):
        ImageSequence(tmp_path)
