"""How fast videos are read and prepared, against another checkout.

    git worktree add ../before 1beaa4d
    python tests/video/speed.py ../before VIDEO VIDEO ...

Both read the same videos in turn, round by round, each time in a process of
its own: every 2nd frame of all, and clips of 8 frames (every 2nd) from random
places of a file that is opened anew for each. ``tools/prepare_data.py``
prepares them, a half as real and a half as fake, start of processes included.
Times are the least of the rounds: what else the machine does only adds to
them. A ratio is this checkout's time to the other's.
"""

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

REPO = Path(__file__).parents[2]
CLIPS = 6  # of a video
WORKS = ('in order', 'clips', 'preparation')


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add = parser.add_argument
    add('other', type=Path, help='folder of the other checkout')
    add('videos', type=Path, nargs='+')
    add('--rounds', type=int, default=5)
    add('--cores', type=int, nargs='+', default=[1, 2])
    add('--works', nargs='+', choices=WORKS, default=WORKS)
    args = parser.parse_args(argv)
    videos = [path.absolute() for path in args.videos]
    print(
        '| work | cores | CPU (s), before | now | ratio '
        '| wall (s), before | now | ratio |\n|---|---|---|---|---|---|---|---|'
    )
    with tempfile.TemporaryDirectory() as scratch:
        tree = make_tree(Path(scratch), videos)
        for work in args.works:
            for cores in args.cores:
                spent = {args.other.absolute(): [], REPO: []}
                for _ in range(args.rounds):
                    for checkout, times in spent.items():
                        times.append(run(checkout, work, cores, tree, videos))
                print(format_row(work, cores, *spent.values()), flush=True)


def make_tree(scratch: Path, videos: Sequence[Path]) -> Path:
    """Copy videos into a data set of the source 'folder'."""
    for number, path in enumerate(videos):
        folder = scratch / 'tree' / ('fake/swap' if number % 2 else 'real')
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    return scratch / 'tree'


def run(
    checkout: Path,
    work: str,
    cores: int,
    tree: Path,
    videos: Sequence[Path],
) -> tuple[float, float]:
    """CPU and wall time of a work by one checkout, on so many cores."""
    out = tree.parent / 'out'
    command = [sys.executable, __file__, work, *map(str, videos)]
    if work == 'preparation':
        tool = checkout / 'tools/prepare_data.py'
        command = [sys.executable, tool, 'folder', tree, out]
        command += ['--workers', str(cores)]
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    began = time.perf_counter(), cpu(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
        env={**os.environ, 'PYTHONPATH': str(checkout), READS: '1'},
        preexec_fn=lambda: os.sched_setaffinity(0, chosen),
    )
    if work != 'preparation':
        spent, wall = map(float, done.stdout.split())
        return spent, wall
    shutil.rmtree(out)
    spent = cpu(resource.RUSAGE_CHILDREN) - began[1]
    return spent, time.perf_counter() - began[0]


def cpu(whose: int) -> float:
    """Seconds that a process, or its children that ended, have computed."""
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def format_row(
    work: str,
    cores: int,
    before: Sequence[tuple[float, float]],
    now: Sequence[tuple[float, float]],
) -> str:
    """A row of the table."""
    cells = [work, str(cores)]
    for old, new in zip(map(min, zip(*before)), map(min, zip(*now))):
        cells += [f'{old:.2f}', f'{new:.2f}', f'{new / old:.2f}']
    return f'| {" | ".join(cells)} |'


READS = 'GML_READS_VIDEOS'  # set in the process that reads


def read(work: str, videos: Sequence[str]) -> None:
    """Read videos and print the CPU and wall time."""
    from gml_mmaction.video import open_video

    with open_video(videos[0]):  # imports its decoder
        pass
    began = cpu(resource.RUSAGE_SELF), time.perf_counter()
    rng = random.Random(0)
    for path in videos:
        if work == 'in order':
            with open_video(path) as reader:
                for _ in reader.frames(stride=2):
                    pass
            continue
        for _ in range(CLIPS):
            with open_video(path) as reader:
                start = rng.randrange(max(1, reader.num_frames - 16))
                stop = min(start + 16, reader.num_frames)
                reader.frames_at(range(start, stop, 2))
    print(cpu(resource.RUSAGE_SELF) - began[0], time.perf_counter() - began[1])


if __name__ == '__main__':
    if os.environ.get(READS):
        read(sys.argv[1], sys.argv[2:])
    else:
        main()
