"""Collect videos of people from public repositories, by a list.

    python tests/open_videos/collect.py tests/open_videos/genuine.csv OUT

A row of the list names a file of a repository on GitHub at a commit, its
SHA-256, the folder that it goes to, and what is cut out of it: a rectangle
(``x:y:width:height``) and seconds. What is not cut keeps its bytes, and so may
be another container than ``.mp4``; what is cut is encoded anew (H.264, crf
14, no sound). A repository is fetched into ``--mirror`` unless it is there; a
video that is there is kept. A list that names originals gives ``pairs.csv``
beside the videos, which ``gml prepare folder OUT`` reads. Prints a line for
each row that failed; the exit code is then 1.

The licence in a row is that of the repository. Footage that its authors took
from elsewhere keeps its own terms: read them before you do more than measure.
"""

import argparse
import csv
import hashlib
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av


def mirror(folder: Path, repository: str, commit: str) -> Path:
    """A bare repository that has a commit."""
    git = folder / repository.replace('/', '+')
    inner = git / 'repo'  # how some keep a mirror
    git = inner if inner.is_dir() else git
    if not git.is_dir():
        run('git', 'init', '-q', '--bare', str(git))
    found = run(
        'git', '-C', str(git), 'cat-file', '-e', commit, check=False
    ).returncode
    if found:
        address = f'https://github.com/{repository}'
        run('git', '-C', str(git), 'fetch', '-q', address, commit)
    return git


def run(*words: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run a command and keep what it prints."""
    return subprocess.run(words, capture_output=True, check=check)


def read(git: Path, row: dict[str, str]) -> bytes:
    """The bytes of a file, checked."""
    name = f'{row["commit"]}:{row["path"]}'
    data = run('git', '-C', str(git), 'cat-file', 'blob', name).stdout
    if hashlib.sha256(data).hexdigest() != row['sha256']:
        raise ValueError('another SHA-256')
    return data


def cut(source: Path, out: Path, row: dict[str, str]) -> None:
    """Encode a rectangle and some seconds of a video."""
    start, end = float(row['start_s'] or 0), float(row['end_s'] or 'inf')
    with av.open(source) as video, av.open(out, 'w', format='mp4') as made:
        stream = video.streams.video[0]
        crop = row['crop'] or f'0:0:{stream.width}:{stream.height}'
        x, y, width, height = map(int, crop.split(':'))
        width, height = width // 2 * 2, height // 2 * 2
        guess = stream.average_rate or stream.guessed_rate or 25
        rate = Fraction(guess).limit_denominator(1001)
        encoder = made.add_stream('libx264', rate, options={'crf': '14'})
        encoder.width, encoder.height = width, height
        encoder.pix_fmt = 'yuv420p'
        zero = float((stream.start_time or 0) * stream.time_base)
        count = 0
        for frame in video.decode(stream):
            if not start - 1e-3 <= (frame.time or 0) - zero < end - 1e-3:
                continue
            image = frame.to_ndarray(format='rgb24')
            image = image[y : y + height, x : x + width].copy()
            new = av.VideoFrame.from_ndarray(image, 'rgb24')
            new.pts, new.time_base = count, 1 / rate
            count += 1
            made.mux(encoder.encode(new))
        made.mux(encoder.encode())


def write_pairs(out: Path, rows: list[dict[str, str]]) -> None:
    """Say which real each fake was made of, of the videos that are there."""
    names = ('file', 'original')
    pairs = [
        [row[name] for name in names] for row in rows if row.get('original')
    ]
    there = [pair for pair in pairs if all((out / n).is_file() for n in pair)]
    if there:
        with (out / 'pairs.csv').open('w', newline='') as file:
            csv.writer(file).writerows([names, *there])


def main() -> None:
    """Make each video of the list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('list', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--mirror', type=Path, default='work_dirs/mirrors')
    args = parser.parse_args()
    if not args.list.is_file():
        parser.error(f'{args.list}: no such list')
    failed = 0
    with args.list.open(newline='') as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        out = args.out / row['file']
        if out.is_file():
            continue
        out.parent.mkdir(parents=True, exist_ok=True)
        source, part = out.with_suffix('.source'), out.with_suffix('.part')
        try:
            git = mirror(args.mirror, row['repository'], row['commit'])
            data = read(git, row)
            if row['crop'] or row['start_s'] or row['end_s']:
                source.write_bytes(data)
                cut(source, part, row)
            else:
                part.write_bytes(data)
            part.replace(out)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            failed += 1
            print(f'{out}: {error}')
        source.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
    write_pairs(args.out, rows)
    print(f'{len(rows) - failed} of {len(rows)} videos are in {args.out}')
    sys.exit(failed > 0)


if __name__ == '__main__':
    main()
