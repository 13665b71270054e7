"""Frame k is frame k, whatever the file; compared with PyAV's decoding."""

import gc
import io
import itertools
import shutil
import socket
import tarfile
import threading
import zipfile
from fractions import Fraction

import cv2
import numpy as np
import pytest
from formats import decoded_by_ffmpeg, ffmpeg
from PIL import Image
from videos import (
    damage,
    decode,
    decode_whole,
    numbered,
    read_number,
    rotate,
    textured,
    trim,
    truncate,
    write,
    write_sound,
)

from gml_mmaction.video import (
    ImageSequence,
    VideoError,
    VideoReader,
    open_video,
    prefetch,
)
from gml_mmaction.video.frames import SIZES_DIFFER
from gml_mmaction.video.mp4 import starts_clean

pytestmark = pytest.mark.slow

OPEN_GOP = {'x264-params': 'open-gop=1:scenecut=0:keyint=12', 'bf': '3'}
REFRESH = {'x264-params': 'intra-refresh=1:keyint=12:bframes=0'}
HEVC = {'x265-params': 'log-level=none:keyint=12'}
B_FRAMES = {'g': '12', 'bf': '3'}
needs_ffmpeg = pytest.mark.skipif(
    not shutil.which('ffmpeg'), reason='no program ffmpeg'
)
# name of the file: how it is written
FILES = {
    'b_frames.mp4': dict(options=B_FRAMES),
    'no_edit_list.mp4': dict(
        options=B_FRAMES, container_options={'use_editlist': '0'}
    ),
    'open_gop.mp4': dict(options=OPEN_GOP),
    'open_gop.mkv': dict(options=OPEN_GOP),
    'long_gop.mp4': dict(options={'g': '250', 'bf': '3'}),
    'intra_refresh.mp4': dict(options=REFRESH),
    'fragments.mp4': dict(
        options=B_FRAMES,
        container_options={'movflags': 'frag_keyframe+empty_moov'},
    ),
    'hevc.mp4': dict(codec='libx265', options=HEVC),
    'ten_bits.mp4': dict(pix_fmt='yuv420p10le', options=B_FRAMES),
    'sound.mov': dict(options=B_FRAMES, sound=True),
    'h264.avi': dict(options=B_FRAMES),
    'h264.ts': dict(options=B_FRAMES),
    'h264.flv': dict(options=B_FRAMES),
    'mpeg4.mp4': dict(codec='mpeg4', options={'g': '12', 'bf': '2'}),
    'xvid.avi': dict(codec='mpeg4', options={'g': '12', 'bf': '2'}),
    'mpeg2.mpg': dict(codec='mpeg2video', options={'bf': '2'}),
    'vp8.webm': dict(codec='libvpx', options={'g': '12'}),
    'vp9.webm': dict(codec='libvpx-vp9', options={'g': '12'}),
    'vp9.mp4': dict(codec='libvpx-vp9', options={'g': '12'}),
    'wmv.wmv': dict(codec='wmv2'),
    'mjpeg.avi': dict(codec='mjpeg', pix_fmt='yuvj420p'),
    'ffv1.mkv': dict(codec='ffv1'),
    'gif.gif': dict(codec='gif', pix_fmt='rgb8', fps=10),
    'uneven_times.mp4': dict(
        options=B_FRAMES, times=[40 * i + i % 7 * 5 for i in range(50)]
    ),
    'late_start.mkv': dict(
        options=B_FRAMES, times=[2000 + 40 * i for i in range(50)]
    ),
}


@pytest.fixture(scope='module', params=FILES)
def video(request, tmp_path_factory):
    """A path and the frames that PyAV finds there."""
    path = tmp_path_factory.mktemp('videos') / request.param
    write(path, numbered(50), **FILES[request.param])
    frames = decode(path)
    assert [*map(read_number, frames)] == list(range(50))
    return path, frames


def same(frames, expected):
    return len(frames) == len(expected) and all(
        map(np.array_equal, frames, expected)
    )


def numbers(frames):
    return [read_number(frame) for frame in frames]


def test_frame_k_is_frame_k(video):
    path, expected = video
    with VideoReader(path) as reader:
        frames = list(reader.frames())
        assert (reader.num_frames, reader.broken_at) == (50, None)
        assert (reader.width, reader.height) == (96, 64)
    assert numbers(frames) == list(range(50))
    # rounding of colours is up to the decoder
    difference = np.abs(np.subtract(frames, expected, dtype=int))
    assert difference.max() <= 64
    assert difference.mean() <= 1


def test_strides_and_random_access_give_the_frames_of_reading_on(video):
    path, _ = video
    rng = np.random.default_rng(0)
    with VideoReader(path) as reader:
        frames = list(reader.frames())
    with VideoReader(path) as reader:
        strided = list(reader.frames(start=5, stride=3, stop=44))
        np.testing.assert_array_equal(strided, frames[5:44:3])
        for _ in range(8):
            indices = np.sort(rng.integers(0, 50, 4))
            found = reader.frames_at(indices)
            np.testing.assert_array_equal(
                found, [frames[index] for index in indices]
            )


def test_the_frames_of_real_videos_are_those_of_pyav_and_random_access(
    real_people,
):
    rng = np.random.default_rng(0)
    for path in real_people:
        expected = decode(path)
        with VideoReader(path) as reader:
            frames = list(reader.frames())
        assert same(frames, expected)
        start = int(rng.integers(20, len(frames) - 16))
        with VideoReader(path) as reader:
            clip = reader.frames_at(range(start, start + 16, 2))
        assert same(clip, frames[start : start + 16 : 2])


@pytest.mark.parametrize(
    ('options', 'clean'),
    [
        (dict(options=B_FRAMES), True),
        (dict(codec='mpeg4', options={'g': '12'}), True),
        (dict(options=OPEN_GOP), False),
        (dict(options=REFRESH), False),
        (dict(codec='libx265', options=HEVC), False),
        (dict(codec='mpeg4', options={'g': '12', 'bf': '2'}), False),
    ],
)
def test_a_file_may_be_entered_where_nothing_reaches_over_key_frames(
    tmp_path, options, clean
):
    path = write(tmp_path / 'a.mp4', numbered(40), **options)
    assert starts_clean(path) is clean


def test_a_video_that_may_be_entered_is_not_decoded_from_the_start(tmp_path):
    path = write(tmp_path / 'a.mp4', numbered(200), options=B_FRAMES)
    with VideoReader(path) as reader:
        decoded = []
        seek = reader._decoder.seek

        def watch(key, place):
            decoded.append(place)
            seek(key, place)

        reader._decoder.seek = watch
        found = reader.frames_at(range(180, 196, 2))
        decoded.append(reader._decoder.position)
    assert numbers(found) == list(range(180, 196, 2))
    assert [decoded[0] > 160, decoded[1:]] == [True, [195]]


@pytest.mark.parametrize('degrees', [90, 180, 270])
def test_a_turned_video_comes_out_upright(tmp_path, degrees):
    path = write(tmp_path / 'a.mp4', numbered(30), options=B_FRAMES)
    stored = decode(path)
    rotate(path, degrees)
    with VideoReader(path) as reader:
        frames = list(reader.frames())
        size = (reader.height, reader.width)
        found = reader.frames_at([3, 29])
    upright = [np.rot90(frame, -degrees // 90) for frame in stored]
    np.testing.assert_array_equal(frames, upright)
    np.testing.assert_array_equal(found, [frames[3], frames[29]])
    assert size == frames[0].shape[:2]


@pytest.mark.parametrize('width', [18, 30, 48, 59, 72, 95, 202])
def test_any_width_will_do(tmp_path, width):
    frames = numbered(9, width=width, height=61)
    path = write(tmp_path / 'a.mp4', frames, pix_fmt='yuv444p')
    with VideoReader(path) as reader:
        np.testing.assert_array_equal(list(reader.frames()), decode(path))


@pytest.mark.parametrize(
    ('aspect', 'size'), [(2, (192, 64)), (Fraction(1, 2), (96, 128))]
)
def test_pixels_become_square_and_a_note_says_so(tmp_path, aspect, size):
    path = write(tmp_path / 'a.mp4', numbered(3), aspect=aspect)
    with VideoReader(path) as reader:
        frames = list(reader.frames())
        assert (reader.width, reader.height) == size
        assert frames[0].shape[1::-1] == size
        assert numbers(frames) == [0, 1, 2]
        (note,) = reader.notes
    assert f'96x64 stretched to {size[0]}x{size[1]}' in note


@pytest.mark.parametrize(
    ('name', 'codec', 'aspect'),
    [
        ('a.mp4', 'libx264', None),
        ('a.ts', 'libx264', None),
        ('a.avi', 'mjpeg', None),
        ('a.avi', 'png', None),
        ('a.gif', 'gif', None),
        ('a.mkv', 'libx264', 3),
    ],
)
def test_a_frame_may_have_so_many_pixels_only(
    tmp_path, monkeypatch, name, codec, aspect
):
    width = 700 if aspect else 1250
    path = write(
        tmp_path / name,
        numbered(2, width=width, height=1000),
        codec=codec,
        pix_fmt={'gif': 'rgb8', 'mjpeg': 'yuvj420p', 'png': 'rgb24'}.get(
            codec, 'yuv420p'
        ),
        aspect=aspect,
    )
    with VideoReader(path) as video:
        assert len(list(video.frames())) == 2
    monkeypatch.setenv('GML_MAX_MEGAPIXELS', '1')
    with pytest.raises(
        VideoError, match=r'more than 1 million pixels.*GML_MAX_MEGAPIXELS'
    ):
        VideoReader(path)


@pytest.mark.parametrize('name', ['a.mp4', 'a.webm', 'a.gif'])
def test_one_frame_is_a_video(tmp_path, name):
    codecs = {
        'a.mp4': dict(),
        'a.webm': dict(codec='libvpx'),
        'a.gif': dict(codec='gif', pix_fmt='rgb8'),
    }
    path = write(tmp_path / name, numbered(1, first=7), **codecs[name])
    with VideoReader(path) as reader:
        assert numbers(reader.frames()) == [7]


@pytest.mark.parametrize('spoil', [truncate, damage])
@pytest.mark.parametrize('wait', [0, 0.004])
def test_a_video_ends_where_it_breaks_however_slowly_it_is_read(
    tmp_path, spoil, wait
):
    path = write(
        tmp_path / 'a.mp4',
        textured(50),
        options=B_FRAMES,
        container_options={'movflags': 'faststart'},
    )
    whole = decode(path)
    spoil(path)
    with VideoReader(path) as reader:
        frames = []
        for frame in reader.frames():
            frames.append(frame)
            threading.Event().wait(wait)
        assert 10 < len(frames) == reader.broken_at < 50
        np.testing.assert_array_equal(frames, whole[: len(frames)])
    with VideoReader(path) as again:
        last = reader.broken_at - 1
        np.testing.assert_array_equal(again.frames_at([last]), [frames[-1]])
        with pytest.raises(VideoError, match=f'frame {last + 1} of'):
            again.frames_at([last, last + 1])


def test_frames_that_an_edit_list_cuts_off_are_not_made_up(tmp_path):
    path = write(tmp_path / 'a.mp4', numbered(50), options=B_FRAMES)
    trim(path, 15)
    assert numbers(decode(path)) == list(range(15, 50))
    with VideoReader(path) as reader:
        assert numbers(reader.frames()) == list(range(15, 50))
        assert (reader.num_frames, reader.broken_at) == (35, None)
    with VideoReader(path) as reader:
        assert numbers(reader.frames_at([20, 34])) == [35, 49]


@pytest.mark.parametrize('name', ['a.mkv', 'a.webm', 'a.avi', 'a.gif'])
def test_a_cut_file_without_index_gives_its_beginning(tmp_path, name):
    codecs = {
        'a.mkv': dict(options=B_FRAMES),
        'a.webm': dict(codec='libvpx'),
        'a.avi': dict(codec='mpeg4'),
        'a.gif': dict(codec='gif', pix_fmt='rgb8'),
    }
    path = write(tmp_path / name, textured(50), **codecs[name])
    truncate(path)
    with VideoReader(path) as reader:
        found = numbers(reader.frames())
    # the packet that the cut goes through makes no whole frame
    assert found == [read_number(frame) for frame in decode_whole(path)]
    assert 1 <= len(found) < 50


@pytest.mark.parametrize(
    ('kind', 'name'),
    [('webp', 'an animated WebP'), ('png', 'an animated PNG')],
)
def test_moving_pictures_that_are_not_read_are_named(tmp_path, kind, name):
    """Under any name; a picture that does not move is not one of them."""
    image = pytest.importorskip('PIL.Image')
    first, *rest = (image.fromarray(frame) for frame in numbered(3))
    path = tmp_path / 'a.mp4'
    first.save(path, kind, save_all=True, append_images=rest)
    with pytest.raises(VideoError, match=f'{name}, which is not read. Remedy'):
        open_video(path)
    first.save(path, kind)
    with pytest.raises(VideoError, match='not a video'):
        open_video(path)


def cut_before_index(path):
    truncate(write(path, numbered(9)), 0.5)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda path: path.write_bytes(b''), 'empty: the file has no bytes'),
        (
            lambda path: path.write_text('not a video\n' * 99),
            'unreadable: a text file, such as a list of files',
        ),
        (
            cut_before_index,
            'unreadable: not a video, or its index is missing',
        ),
        (write_sound, 'unreadable: no video stream that can be decoded'),
    ],
)
def test_a_file_without_frames_says_why(tmp_path, make, message):
    path = tmp_path / 'a.mp4'
    make(path)
    with pytest.raises(VideoError) as error:
        VideoReader(path)
    assert str(error.value) == message


def test_an_absent_file_is_not_a_broken_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        VideoReader(tmp_path / 'a.mp4')


def test_frames_have_the_times_of_the_file(tmp_path):
    times = [40 * i + (4000 if i > 20 else 0) for i in range(50)]
    path = write(tmp_path / 'a.mkv', numbered(50), times=times)
    with VideoReader(path) as reader:
        found = [reader.seconds_at(index) for index in range(50)]
        np.testing.assert_allclose(found, np.array(times) / 1000)
        assert reader.index_at(4.89) == 22
        assert reader.index_at(reader.seconds_at(50)) == 49
        assert reader.index_at(99) > reader.num_frames


@needs_ffmpeg
def test_a_frame_that_theora_shows_again_breaks_nothing(tmp_path):
    frames = [frame for frame in numbered(20) for _ in range(2)]
    source = write(tmp_path / 'a.mkv', frames, codec='ffv1')
    path = tmp_path / 'a.ogv'
    ffmpeg('-i', source, '-c:v', 'libtheora', '-q:v', '8', path)
    expected = numbers(decoded_by_ffmpeg(path))
    with VideoReader(path) as reader:
        assert numbers(reader.frames()) == expected
        assert reader.broken_at is None
    assert set(expected) == set(range(20))


def test_two_recordings_joined_end_where_the_second_begins(tmp_path):
    one = write(tmp_path / 'a.ts', textured(30), options=B_FRAMES)
    whole = decode(one)
    path = tmp_path / 'twice.ts'
    path.write_bytes(one.read_bytes() * 2)
    with VideoReader(path) as reader:
        frames = list(reader.frames())
        assert 20 < len(frames) == reader.broken_at
    assert same(frames, whole[: len(frames)])


@needs_ffmpeg
def test_a_cover_picture_is_no_video(tmp_path):
    cover = tmp_path / 'cover.jpg'
    Image.fromarray(numbered(1)[0]).save(cover)
    sound = ('-f', 'lavfi', '-i', 'sine=duration=1')
    as_cover = ('-map', '0', '-map', '1', '-disposition:v:0', 'attached_pic')
    song = tmp_path / 'song.m4a'
    ffmpeg(*sound, '-i', cover, *as_cover, '-c:v', 'mjpeg', song)
    with pytest.raises(VideoError, match='no video stream'):
        VideoReader(song)


def test_the_last_frame_after_a_gap_lasts_as_long_as_the_others(tmp_path):
    times = [40 * i + 3000 * (i >= 10) for i in range(20)]
    path = write(tmp_path / 'a.mkv', numbered(20), times=times)
    with VideoReader(path) as video:
        assert video.seconds_at(20) == pytest.approx(3.8, abs=0.002)


@needs_ffmpeg
def test_a_change_of_resolution_is_noted_and_brought_to_the_first(tmp_path):
    parts = []
    for first, size in ((0, '96x64'), (10, '192x128')):
        source = write(
            tmp_path / f'{size}.avi', numbered(10, first=first), codec='mpeg4'
        )
        parts.append(tmp_path / f'{size}.ts')
        ffmpeg('-i', source, '-s', size, '-c:v', 'libx264', parts[-1])
    path = tmp_path / 'joined.ts'
    ffmpeg('-i', f'concat:{parts[0]}|{parts[1]}', '-c', 'copy', path)
    with VideoReader(path) as video:
        assert (video.width, video.height) == (96, 64)
        assert SIZES_DIFFER not in video.notes
        frames = list(video.frames())
        assert {frame.shape for frame in frames} == {(64, 96, 3)}
        assert numbers(frames) == list(range(20))
        assert video.notes.count(SIZES_DIFFER) == 1


@needs_ffmpeg
def test_a_rate_that_no_video_has_is_not_believed(tmp_path):
    source = write(tmp_path / 'a.mkv', textured(30), codec='ffv1')
    path = tmp_path / 'a.dv'
    ffmpeg('-i', source, '-s', '720x576', '-c:v', 'dvvideo', path)
    with VideoReader(path) as reader:
        assert reader.fps == pytest.approx(25, abs=0.1)


def test_a_list_behind_another_header_is_no_video(tmp_path):
    write(tmp_path / 'other.ts', numbered(9), options=B_FRAMES)
    header = b'ID3\x04' + bytes(5) + b'\x0a' + bytes(10)
    playlist = '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2,\n'
    playlist += f'{tmp_path}/other.ts\n#EXT-X-ENDLIST\n'
    (tmp_path / 'a.mp4').write_bytes(header + playlist.encode())
    with pytest.raises(VideoError, match='unreadable: not a video'):
        VideoReader(tmp_path / 'a.mp4')


def test_a_name_is_never_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.create_server(('127.0.0.1', 0)) as server:
        server.settimeout(0.2)
        name = f'http:127.0.0.1:{server.getsockname()[1]}.mp4'
        shutil.copy(write(tmp_path / 'a.mp4', numbered(3)), name)
        with VideoReader(name) as reader:
            assert numbers(reader.frames()) == [0, 1, 2]
        with pytest.raises(TimeoutError):
            server.accept()


def test_indices_ascend_and_exist(tmp_path):
    path = write(tmp_path / 'a.mp4', numbered(9))
    with VideoReader(path) as reader:
        assert numbers(reader.frames_at([2, 2, 8])) == [2, 2, 8]
        with pytest.raises(VideoError, match='frame 9 of 9'):
            reader.frames_at([9])
        with pytest.raises(ValueError, match='index 2 after 3'):
            reader.frames_at([3, 2])


def images(*order):
    """Encoded numbered images by file name."""
    return {
        f'{number}.png': cv2.imencode(
            '.png', cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        )[1].tobytes()
        for number in order
        for frame in numbered(1, first=number)
    }


def in_folder(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def in_zip(path, files):
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def in_tar(path, files):
    with tarfile.open(path, 'w:gz') as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f'./{name}')
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


@pytest.mark.parametrize(
    ('pack', 'name'),
    [(in_folder, 'a'), (in_zip, 'a.zip'), (in_tar, 'a.tar.gz')],
)
def test_images_come_in_the_order_of_their_numbers(tmp_path, pack, name):
    files = {f'fake/3/{k}': v for k, v in images(10, 9, 100, 1).items()}
    files |= {'fake/3/notes.txt': b'x', 'fake/3/._1.png': b'x'}
    files |= {f'fake/31/{k}': v for k, v in images(5).items()}
    pack(tmp_path / name, files)
    with open_video(tmp_path / name, 'fake/3') as sequence:
        assert isinstance(sequence, ImageSequence)
        assert sequence.names == ['1.png', '9.png', '10.png', '100.png']
        assert numbers(sequence.frames()) == [1, 9, 10, 100]
        assert numbers(sequence.frames_at([1, 3])) == [9, 100]
        assert (sequence.width, sequence.height) == (96, 64)
        assert (sequence.num_frames, sequence.fps) == (4, 0)


def test_images_have_the_colours_of_the_file(tmp_path):
    in_folder(tmp_path, images(5))
    (frame,) = open_video(tmp_path).frames()
    np.testing.assert_array_equal(frame, numbered(1, first=5)[0])


def test_a_sequence_ends_at_an_image_that_is_none(tmp_path):
    in_folder(tmp_path, images(1, 2) | {'3.png': b'x'} | images(4))
    with open_video(tmp_path) as sequence:
        assert numbers(sequence.frames()) == [1, 2]
        assert sequence.broken_at == 2


def test_a_sequence_without_images_says_so(tmp_path):
    in_zip(tmp_path / 'a.zip', images(1))
    with pytest.raises(VideoError, match='no images in fake/4'):
        open_video(tmp_path / 'a.zip', 'fake/4')
    (tmp_path / 'b.tar.gz').write_bytes(b'x' * 99)
    with pytest.raises(VideoError, match='not an archive'):
        open_video(tmp_path / 'b.tar.gz')


def threads():
    gc.collect()
    return [t for t in threading.enumerate() if t.name == 'prefetch']


def test_prefetched_frames_are_the_frames(tmp_path):
    path = write(tmp_path / 'a.mp4', numbered(30))
    with VideoReader(path) as reader:
        assert numbers(prefetch(reader.frames())) == list(range(30))
    assert threads() == []


def test_prefetch_works_ahead_but_not_far():
    made = []
    reached = threading.Event()

    def source():
        for number in range(99):
            made.append(number)
            if number == 4:
                reached.set()
            yield number

    items = prefetch(source(), depth=4)
    assert next(items) == 0
    assert reached.wait(5)
    assert not threading.Event().wait(0.05)
    assert len(made) <= 6
    items.close()


def test_a_consumer_that_stops_leaves_no_thread_behind():
    closed = []

    def source():
        try:
            for number in itertools.count():
                threading.Event().wait(0.01)
                yield number
        finally:
            closed.append(True)

    for item in prefetch(source()):
        if item == 3:
            break
    assert threads() == []
    with pytest.raises(ZeroDivisionError):
        sum(item // 0 for item in prefetch(source()))
    assert threads() == []
    assert closed == [True, True]


def test_an_error_of_the_source_comes_in_its_turn():
    def source():
        yield 1
        yield 2
        raise VideoError('unreadable', 'frame 2')

    items = prefetch(source())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(VideoError, match='frame 2'):
        next(items)
    assert threads() == []
