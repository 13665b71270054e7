"""Videos of a list are collected as they are, or cut as the list says."""

import csv
import hashlib
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

COLLECT = Path(__file__).with_name('collect.py')
PAGE = COLLECT.parents[2] / 'docs/genuine.md'
LISTS = sorted(COLLECT.parent.glob('*.csv'))


def write_video(path, frames=50):
    """A video whose left half has the frame's number as its shade."""
    with av.open(str(path), 'w') as made:
        stream = made.add_stream('libx264', 25, options={'crf': '10'})
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for number in range(frames):
            image = np.full((48, 64, 3), 255, np.uint8)
            image[:, :32] = 4 * number
            frame = av.VideoFrame.from_ndarray(image, 'rgb24')
            made.mux(stream.encode(frame))
        made.mux(stream.encode())


@pytest.fixture
def listed(tmp_path):
    """A mirror of one repository, and a list of two rows of its video."""
    work, git = tmp_path / 'work', tmp_path / 'mirror/who+what'
    work.mkdir()
    write_video(work / 'talk.mp4')
    data = (work / 'talk.mp4').read_bytes()
    who = ('-c', 'user.name=w', '-c', 'user.email=w@example.org')
    for words in (['init', '-q'], ['add', '.'], [*who, 'commit', '-qm', 'x']):
        subprocess.run(['git', '-C', work, *words], check=True)
    subprocess.run(['git', 'clone', '-q', '--bare', work, git], check=True)
    commit = subprocess.check_output(
        ['git', '-C', git, 'rev-parse', 'HEAD'], text=True
    ).strip()
    row = dict(
        repository='who/what',
        commit=commit,
        path='talk.mp4',
        licence='MIT',
        sha256=hashlib.sha256(data).hexdigest(),
    )
    whole = dict(row, file='p1/whole.mp4', crop='', start_s='', end_s='')
    part = dict(
        row, file='p2/part.mp4', crop='0:0:32:48', start_s='0.4', end_s='1.2'
    )
    return tmp_path, [whole, part], data


def collect(folder, rows):
    """Run the script on rows."""
    path = folder / 'list.csv'
    with path.open('w', newline='') as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    words = [path, folder / 'out', '--mirror', folder / 'mirror']
    return subprocess.run(
        [sys.executable, COLLECT, *words],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_whole_file_keeps_its_bytes_and_a_part_its_frames(listed):
    folder, rows, data = listed
    done = collect(folder, rows)
    assert done.returncode == 0, done.stderr
    assert (folder / 'out/p1/whole.mp4').read_bytes() == data
    with av.open(str(folder / 'out/p2/part.mp4')) as video:
        frames = [f.to_ndarray(format='rgb24') for f in video.decode(video=0)]
    assert len(frames) == 20
    assert frames[0].shape == (48, 32, 3)
    shades = [frame.mean() for frame in frames]
    expected = 4.0 * np.arange(10, 30)
    np.testing.assert_allclose(shades, expected, atol=3)
    assert not list(folder.glob('out/*/*.source'))


def test_another_file_is_not_taken(listed):
    folder, rows, _ = listed
    rows[0]['sha256'] = '0' * 64
    done = collect(folder, rows)
    assert done.returncode == 1
    assert 'p1/whole.mp4: another SHA-256' in done.stdout
    assert '1 of 2 videos' in done.stdout
    assert not (folder / 'out/p1/whole.mp4').exists()


def test_a_video_that_is_there_is_kept(listed):
    folder, rows, _ = listed
    there = folder / 'out/p1/whole.mp4'
    there.parent.mkdir(parents=True)
    there.write_bytes(b'kept')
    done = collect(folder, rows)
    assert done.returncode == 0, done.stdout
    assert there.read_bytes() == b'kept'


def test_pairs_are_said_of_videos_that_are_there(listed):
    folder, (real, fake), _ = listed
    real['file'], fake['file'] = 'real/a.mp4', 'fake/swap/a.mp4'
    lost = dict(real, file='fake/swap/b.mp4', sha256='0' * 64)
    real['original'], fake['original'] = '', 'real/a.mp4'
    lost['original'] = 'real/a.mp4'
    collect(folder, [real, fake, lost])
    text = (folder / 'out/pairs.csv').read_text()
    assert text.split() == ['file,original', 'fake/swap/a.mp4,real/a.mp4']


def test_a_part_that_cannot_be_cut_leaves_no_file(listed):
    folder, rows, _ = listed
    rows[1]['crop'] = '0:0:wide:48'
    done = collect(folder, rows)
    assert done.returncode == 1
    assert 'p2/part.mp4: ' in done.stdout
    assert [*folder.glob('out/p2/*')] == []


def test_the_page_counts_what_the_lists_have():
    genuine, forged = (
        list(csv.DictReader((COLLECT.parent / name).open(newline='')))
        for name in ('genuine.csv', 'forged.csv')
    )
    people = {Path(row['file']).parts[0] for row in genuine}
    methods = [row['method'] for row in forged if row['method'] != 'real']
    paired = [row for row in forged if row['original']]
    text = PAGE.read_text()
    assert f'{len(genuine)} clips of {len(people)} people' in text
    said = f'{len(methods)} forgeries of {len(set(methods))} methods and '
    assert f'{said}{len(forged) - len(methods)} genuine videos' in text
    assert f'{len(paired)}\nforgeries with their original' in text
    names = {row['file'] for row in forged}
    assert all(row['original'] in names for row in paired)


@pytest.mark.parametrize('path', LISTS, ids=lambda path: path.stem)
def test_a_list_names_each_file_once_with_its_licence(path):
    with path.open(newline='') as file:
        rows = list(csv.DictReader(file))
    names = [row['file'] for row in rows]
    assert len(set(names)) == len(names) > 100
    for row in rows:
        assert len(row['commit']) == 40
        assert len(row['sha256']) == 64
        assert row['licence']
        assert not Path(row['file']).is_absolute()
        assert '..' not in Path(row['file']).parts
