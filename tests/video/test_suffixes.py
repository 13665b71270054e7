"""What counts as a video by its name can be read by the demuxers allowed."""

import numpy as np
import pytest
from videos import numbered, read_number, write

from gml_mmaction.video import open_video
from gml_mmaction.video.files import VIDEO_SUFFIXES
from gml_mmaction.video.reader import FORMATS

# Suffixes that FFmpeg writes, with an encoder, and others of the same kind.
KINDS = {
    ('.mp4', 'libx264'): ['3g2', '3gp', 'f4v', 'm4v', 'mov', 'mp4', 'qt'],
    ('.ts', 'libx264'): ['m2t', 'm2ts', 'mts', 'tod', 'trp', 'ts'],
    ('.mpg', 'mpeg2video'): ['mod', 'mpe', 'mpeg', 'mpg', 'vob'],
    ('.avi', 'mpeg4'): ['avi', 'divx'],
    ('.mkv', 'libx264'): ['mkv'],
    ('.webm', 'libvpx'): ['webm'],
    ('.ogv', 'libvpx'): ['ogm', 'ogv'],
    ('.wmv', 'wmv2'): ['asf', 'wmv'],
    ('.rm', 'rv20'): ['rm', 'rmvb'],
    ('.h264', 'libx264'): ['264', 'h264'],
    ('.hevc', 'libx265'): ['265', 'h265', 'hevc'],
    ('.m1v', 'mpeg1video'): ['m1v'],
    ('.m2v', 'mpeg2video'): ['m2v'],
    ('.mjpeg', 'mjpeg'): ['mjpeg', 'mjpg'],
    ('.flv', 'flv'): ['flv'],
    ('.gif', 'gif'): ['gif'],
    ('.ivf', 'libvpx'): ['ivf'],
    ('.mxf', 'mpeg2video'): ['mxf'],
    ('.nut', 'ffv1'): ['nut'],
    ('.wtv', 'mpeg2video'): ['wtv'],
    ('.y4m', 'wrapped_avframe'): ['y4m'],
    ('.dv', 'dvvideo'): ['dv'],
    ('.avi', 'amv'): ['amv'],  # the container is one of AVI's
}
PIXELS = {'mjpeg': 'yuvj420p', 'amv': 'yuvj420p', 'gif': 'rgb8'}
SIZES = {'.dv': (720, 576), '.rm': (176, 144)}


def test_every_suffix_is_of_a_kind_that_is_tried():
    tried = sorted(f'.{s}' for suffixes in KINDS.values() for s in suffixes)
    assert tried == sorted(VIDEO_SUFFIXES)


@pytest.mark.parametrize(
    ('suffix', 'codec'), KINDS, ids=lambda value: value.strip('.')
)
def test_a_file_of_every_suffix_is_read(tmp_path, suffix, codec):
    width, height = SIZES.get(suffix, (96, 64))
    try:
        path = write(
            tmp_path / f'a{suffix}',
            numbered(12, width=width, height=height),
            codec=codec,
            pix_fmt=PIXELS.get(codec, 'yuv420p'),
        )
    except ValueError as error:
        pytest.skip(f'this FFmpeg does not write it: {error}')
    for other in KINDS[suffix, codec]:
        path = path.rename(path.with_suffix(f'.{other}'))
        with open_video(path) as video:
            frames = list(video.frames())
        assert len(frames) >= 11
        numbers = [read_number(frame) for frame in frames]
        assert numbers == list(np.arange(12)[-len(frames) :]) or (
            numbers == list(range(len(frames)))
        )


@pytest.mark.parametrize('name', FORMATS)
def test_every_demuxer_that_is_allowed_is_there(name):
    av = pytest.importorskip('av')
    assert av.format.ContainerFormat(name, 'r').is_input
