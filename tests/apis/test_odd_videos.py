"""Odd but healthy video files get the verdict of what a player shows."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import REPO, write_detector
from videos import write

from gml_mmaction.apis import ForgeryInferencer
from gml_mmaction.video import open_video

pytest.importorskip('dlib')
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which('ffmpeg'), reason='no program ffmpeg'),
]
X264 = ('-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-crf', '12')
GAP = "setpts='(N/25+if(gt(N,20),4,0)+if(gt(N,45),3,0))/TB'"
UNEVEN = "select='not(between(n,20,50)*mod(n,2))'"
# how a file is made of the same 70 frames
ODD = {
    'plain.mp4': X264,
    'interlaced.mts': (
        *('-vf', 'fps=50,tinterlace=4', '-flags', '+ilme+ildct', *X264),
        *('-f', 'mpegts'),
    ),
    'stalls.webm': (
        *('-vf', GAP, '-fps_mode', 'passthrough', '-c:v', 'libvpx'),
        *('-b:v', '2M', '-live', '1'),
    ),
    'uneven.mp4': ('-vf', UNEVEN, '-fps_mode', 'vfr', *X264),
    'narrow.mp4': ('-vf', 'scale=112:160,setsar=25/14', *X264),
    'av1.mp4': ('-c:v', 'libsvtav1', '-preset', '12', '-pix_fmt', 'yuv420p'),
}
SECONDS = {'stalls.webm': 9.8}  # else 2.8


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return write_detector(tmp_path_factory.mktemp('detector') / 'best.pth')


@pytest.fixture(scope='module')
def odd(tmp_path_factory, draw_faces):
    """Make one of ``ODD``, or a cut of it."""
    folder = tmp_path_factory.mktemp('odd')
    frames = [draw_faces((30 + i // 3, 20, 120)) for i in range(70)]
    source = write(folder / 'source.mkv', frames, codec='ffv1')

    def make(name, *start):
        path = folder / name
        options = ODD[name] if not start else ('-c', 'copy')
        given = source if not start else folder / 'plain.mp4'
        command = ['ffmpeg', '-nostdin', '-v', 'error', '-y', *start]
        subprocess.run([*command, '-i', given, *options, path], check=True)
        return path

    return make


@pytest.fixture(scope='module')
def predict(checkpoint, tmp_path_factory):
    """Predict a file; return the report and the overlay's path."""
    inferencer = ForgeryInferencer(checkpoint, 'cpu')

    def run(path):
        found = inferencer(
            path, out_dir=tmp_path_factory.mktemp('out'), show_progress=False
        )
        files = found['visualization'][0]
        return found['predictions'][0], files.get('overlay')

    return run


def spoken_of(prediction, word):
    return any(word in note for note in prediction['notes'])


@pytest.mark.parametrize('name', ODD)
def test_an_odd_file_is_read_to_its_end_in_its_own_time(odd, predict, name):
    path = odd(name)
    prediction, overlay = predict(path)
    assert prediction['status'] == 'ok'
    assert not spoken_of(prediction, 'broken')
    # faces are followed anew after a gap in time
    *before, track = prediction['tracks']
    assert bool(before) == spoken_of(prediction, 'no frames for')
    seconds = SECONDS.get(name, 2.8)
    assert seconds - 1.5 < track['clips'][-1]['seconds'][1] <= seconds + 0.1
    with open_video(overlay) as reader:
        end = reader.seconds_at(reader.num_frames)
        assert end == pytest.approx(seconds, abs=0.15)


@pytest.mark.slow
def test_the_face_of_an_interlaced_video_is_where_it_is(odd, predict):
    plain, _ = predict(odd('plain.mp4'))
    interlaced, _ = predict(odd('interlaced.mts'))
    squares = [p['tracks'][0]['square'] for p in (plain, interlaced)]
    np.testing.assert_allclose(*squares, atol=12)


@pytest.mark.slow
def test_pixels_are_square_before_a_face_is_searched(odd, predict):
    plain, _ = predict(odd('plain.mp4'))
    narrow, _ = predict(odd('narrow.mp4'))
    assert spoken_of(narrow, 'pixels are not square')
    squares = [p['tracks'][0]['square'] for p in (plain, narrow)]
    np.testing.assert_allclose(*squares, atol=12)


def test_a_cut_without_encoding_is_whole_and_has_no_note(odd, predict):
    odd('plain.mp4')
    path = odd('cut.mp4', '-ss', '1.1')
    prediction, overlay = predict(path)
    assert prediction['status'] == 'ok'
    assert not spoken_of(prediction, 'broken')
    with open_video(path) as reader, open_video(overlay) as drawn:
        assert reader.broken_at is None
        assert reader.num_frames == 42  # of 70, 28 begin before 1.1 s
        assert drawn.num_frames == reader.num_frames


@pytest.mark.slow
def test_names_and_playlists_lead_the_command_nowhere(
    odd, checkpoint, tmp_path
):
    """The command reads the folder that it stands in."""
    plain = odd('plain.mp4')
    secret = shutil.copy(plain, tmp_path / 'secret.mp4')
    folder = tmp_path / 'videos'
    folder.mkdir()
    with socket.create_server(('127.0.0.1', 0)) as server:
        server.settimeout(0.2)
        address = f'127.0.0.1:{server.getsockname()[1]}'
        shutil.copy(plain, folder / f'http:{address}.mp4')
        for name, place in (
            ('file', secret),
            ('address', f'http://{address}/a.ts'),
        ):
            text = f'#EXTM3U\n#EXTINF:2,\n{place}\n#EXT-X-ENDLIST\n'
            header = b'ID3\x04' + bytes(5) + b'\x0a' + bytes(10)
            (folder / f'{name}.mp4').write_bytes(header + text.encode())
        done = subprocess.run(
            [
                *(sys.executable, str(Path(REPO, 'tools/predict.py')), '.'),
                *('--checkpoint', str(checkpoint), '--no-overlay', '--quiet'),
                *('--out', str(tmp_path / 'out')),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        with pytest.raises(TimeoutError):
            server.accept()
    assert done.returncode == 1, done.stderr
    for name in ('file', 'address'):
        assert f'{name}.mp4: unreadable: not a video' in done.stdout
    assert f'{address}.mp4: not suspicious' in done.stdout or (
        f'{address}.mp4: suspicious' in done.stdout
    )
