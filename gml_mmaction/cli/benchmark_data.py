"""How fast videos are prepared, compared with only decoding them.

The least that preparation can cost is the decoding of the frames that it
uses: decord, one thread, every 2nd frame, those in between skipped. Both run
in turn, round by round, in the same processes, so that other load on the
machine affects both alike. Time runs from the start of the first video to the
end of the last; starting the processes, and dlib in each, does not count.

Usage::

    gml benchmark-data
    gml benchmark-data VIDEO VIDEO ... --workers 1 2 4
    gml benchmark-data --store boxes --json benchmark.json
"""

import argparse
import functools
import json
import math
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from gml_mmaction.faces import CropOptions, detect_faces
from gml_mmaction.io.pool import run_in_processes
from gml_mmaction.io.text import counted, nth, say
from gml_mmaction.prepared.records import PrepareJob, prepare_video
from gml_mmaction.sources import Video
from gml_mmaction.stack import require
from gml_mmaction.synthetic.render import PORTRAITS
from gml_mmaction.video.writer import write_h264

from .numbers import whole

FPS = 25
# FF++ at c23 has some 4 kB a frame; so have ours with noise of 7 grey levels
NOISE, CRF = 7, 23


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        'videos',
        nargs='*',
        type=Path,
        help='video files; without any, some are made: 640 x 480, H.264, a '
        'moving face and noise',
    )
    add(
        '--num-videos',
        type=whole(1),
        default=6,
        help='number of videos to make',
    )
    add(
        '--num-frames',
        type=int,
        default=300,
        help='frames of a video that is made',
    )
    add('--rounds', type=whole(1), default=5)
    add(
        '--workers', type=whole(1), nargs='+', default=[1, 2], help='processes'
    )
    add('--store', choices=('crops', 'boxes'), default=CropOptions.store)
    add('--json', type=Path, help='file to write the numbers to')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Print the table; returns what ``--json`` writes."""
    args = parse_args(argv)
    options = CropOptions(store=args.store)
    with tempfile.TemporaryDirectory() as scratch:
        videos = args.videos or make_videos(
            Path(scratch) / 'videos', args.num_videos, args.num_frames
        )
        frames = sum(map(count_frames, videos))
        say(
            f'{counted(len(videos), "video")}, {counted(frames, "frame")}, '
            f'{sum(v.stat().st_size for v in videos) / frames / 1e3:.1f} kB '
            f'each; {options.store} of {options.size} pixels, every '
            f'{nth(options.stride)} frame; median of '
            f'{counted(args.rounds, "round")}',
        )
        times = measure(
            videos, options, args.workers, args.rounds, Path(scratch) / 'out'
        )
    rows = summarise(times, len(videos), frames)
    say(*format_rows(rows).split('\n'))
    result = {
        'videos': len(videos),
        'frames': frames,
        'store': options.store,
        'rounds': args.rounds,
        'cpus': os.cpu_count(),
        'versions': versions(),
        'rows': rows,
    }
    if args.json:
        text = json.dumps(result, indent=1) + '\n'
        args.json.write_text(text, encoding='utf-8')
    return result


def measure(
    videos: Sequence[Path],
    options: CropOptions,
    workers: Sequence[int],
    rounds: int,
    scratch: Path,
) -> dict[tuple[str, int], list[float]]:
    """Time all kinds of work in turn, ``rounds`` times after a first.

    Returns:
        Seconds of each round, by what was done and number of processes.
    """
    times: dict[tuple[str, int], list[float]] = {}
    for round_ in range(rounds + 1):
        for number in workers:
            out = scratch / f'{round_}-{number}'
            (out / '.partial').mkdir(parents=True)
            works: dict[str, tuple[Callable[[Any], Any], Sequence]] = {
                'decode': (functools.partial(decode, options.stride), videos),
                'prepare': (prepare_video, make_jobs(videos, out, options)),
            }
            for name, (function, jobs) in works.items():
                taken = seconds(function, jobs, number)
                if round_:  # the first warms up
                    times.setdefault((name, number), []).append(taken)
            shutil.rmtree(out)
    return times


def seconds(
    function: Callable[[Any], Any], jobs: Sequence[Any], workers: int
) -> float:
    """Wall time from the start of the first job to the end of the last."""
    done = list(
        run_in_processes(
            functools.partial(timed, function),
            jobs,
            workers=workers,
            on_crash=crashed,
        )
    )
    return max(end for _, end in done) - min(start for start, _ in done)


def timed(function: Callable[[Any], Any], job: Any) -> tuple[float, float]:
    """Call ``function``; return when it began and ended, the same clock."""
    warm_up()
    start = time.monotonic()
    function(job)
    return start, time.monotonic()


@functools.lru_cache(maxsize=1)
def warm_up() -> None:
    """Load decord and dlib's detector, once in a process: 0.7 s."""
    require('decord')
    detect_faces(np.zeros((80, 80, 3), np.uint8))


def crashed(job: Any) -> None:
    """End the benchmark."""
    raise RuntimeError(f'the process that worked on {job} died')


def decode(stride: int, path: Path) -> None:
    """Decode every ``stride``-th frame by decord alone."""
    reader = require('decord').VideoReader(str(path), num_threads=1)
    for index in range(0, len(reader), stride):
        if index:
            reader.skip_frames(stride - 1)
        reader.next().asnumpy()


def make_jobs(
    videos: Sequence[Path], out: Path, options: CropOptions
) -> list[PrepareJob]:
    """What ``prepare_videos`` would give to its processes."""
    return [
        PrepareJob(
            Video(f'{i:03}', path.absolute(), 0, 'real', 'test'),
            out=out,
            root=path.absolute().parent,
            scratch=out / '.partial',
            options=options,
        )
        for i, path in enumerate(videos)
    ]


def summarise(
    times: dict[tuple[str, int], list[float]], videos: int, frames: int
) -> list[dict[str, Any]]:
    """Turn seconds into rates, and into shares of bare decoding's rate.

    The share is the median over rounds of the ratio within a round.
    """
    rows = []
    for (work, workers), taken in times.items():
        bare = times['decode', workers]
        median = statistics.median(taken)
        share = statistics.median(b / t for b, t in zip(bare, taken))
        rows.append(
            {
                'work': work,
                'workers': workers,
                'videos_per_s': videos / median,
                'frames_per_s': frames / median,
                'share_of_decode': share,
                'seconds': taken,
            }
        )
    return rows


def format_rows(rows: Sequence[dict[str, Any]]) -> str:
    """Lay the rates out as a table."""
    lines = [
        f'{"":<10}{"processes":>10}{"videos/s":>10}{"frames/s":>10}'
        f'{"of decoding":>13}'
    ]
    for row in rows:
        lines.append(
            f'{row["work"]:<10}{row["workers"]:>10}'
            f'{row["videos_per_s"]:>10.2f}{row["frames_per_s"]:>10.0f}'
            f'{row["share_of_decode"]:>13.1%}'
        )
    return '\n'.join(lines)


def count_frames(path: Path) -> int:
    """Number of frames in a video, by its index."""
    return len(require('decord').VideoReader(str(path), num_threads=1))


def make_videos(folder: Path, count: int, num_frames: int) -> list[Path]:
    """Write videos by x264, or by OpenCV as MPEG-4 if PyAV is missing."""
    folder.mkdir(parents=True)
    write: Callable[[str, Iterator[np.ndarray]], None]
    try:
        require('av')
        write = functools.partial(write_h264, fps=FPS, crf=CRF)
    except ImportError as error:
        say(f'made as MPEG-4 instead of H.264: {error}')
        write = write_mpeg4
    paths = [folder / f'{seed:03}.mp4' for seed in range(count)]
    for seed, path in enumerate(paths):
        write(str(path), draw_frames(seed, num_frames))
    return paths


def draw_frames(seed: int, num_frames: int) -> Iterator[np.ndarray]:
    """Draw a face that moves before a wall, with the noise of a camera."""
    rng = np.random.default_rng(seed)
    portrait = PORTRAITS['grace_hopper']().image
    portrait = cv2.resize(portrait, (320, 375), interpolation=cv2.INTER_AREA)
    wall = rng.integers(60, 190, (12, 16, 3), np.uint8)
    wall = cv2.resize(wall, (640, 480), interpolation=cv2.INTER_CUBIC)
    phases = rng.uniform(0, 2 * math.pi, 2)
    # a strip of noise larger than a frame: cut elsewhere, it looks new
    noise = rng.normal(0, NOISE, (960, 1280, 3)).astype(np.int16)
    for index in range(num_frames):
        x = round(160 + 60 * math.sin(index / 20 + phases[0]))
        y = round(50 + 30 * math.sin(index / 13 + phases[1]))
        frame = wall.astype(np.int16)
        frame[y : y + 375, x : x + 320] = portrait
        top, left = rng.integers(0, (480, 640))
        frame += noise[top : top + 480, left : left + 640]
        yield frame.clip(0, 255).astype(np.uint8)


def write_mpeg4(path: str, frames: Iterator[np.ndarray]) -> None:
    """Write frames as MPEG-4 by OpenCV."""
    code = cv2.VideoWriter.fourcc(*'mp4v')
    writer = cv2.VideoWriter(path, code, FPS, (640, 480))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def versions() -> dict[str, str]:
    """Of what the numbers depend on."""
    packages = {name: require(name) for name in ('decord', 'dlib', 'cv2')}
    return {
        'python': platform.python_version(),
        **{name: package.__version__ for name, package in packages.items()},
    }
