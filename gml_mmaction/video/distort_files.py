"""Distort whole video files into new ones, many at a time.

What happens to each frame is in :mod:`.distortions`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.io.pool import run_in_processes
from gml_mmaction.stack import require

from . import Frames, VideoError, open_video
from .distortions import (
    LEVELS,
    Distortion,
    distort_frames,
    format_distortions,
    seed_of,
)
from .files import VIDEO_SUFFIXES
from .folders import is_well_named, video_files
from .writer import write_h264

__all__ = [
    'CRF',
    'DistortJob',
    'Outcome',
    'distort_video',
    'distort_videos',
    'find_in_meta',
    'find_videos',
]

# Of frames with the weakest noise (GNC:1), x264 keeps 99.5 % of its standard
# deviation at 10, 98 % at 18 and 91 % at 23; at 34, 17 and 8 Mbit/s for
# 640 x 480. DeeperForensics' own files went through XVID and then ffmpeg,
# whose default is 23.
CRF = 10


class DistortJob(NamedTuple):
    """A video to be distorted.

    Attributes:
        source: The file to read.
        target: The mp4 file to write.
        name: Relative POSIX path without suffix; together with the seed it
            fixes all random draws.
        distortions: Applied in this order.
        seed: The experiment's.
        crf: x264's constant rate factor of the new file, 0 (lossless) to 51.
    """

    source: Path
    target: Path
    name: str
    distortions: tuple[Distortion, ...]
    seed: int = 0
    crf: int = CRF


class Outcome(NamedTuple):
    """What became of a video.

    Attributes:
        job: The video.
        reason: ``'written'``, ``'there already'``, ``'broken tail'`` (what
            could be read is written), or why there is no new file: a reason
            of :class:`~gml_mmaction.video.VideoError`, or
            ``'not distorted'``.
        detail: More about the reason, '' if there is nothing.
    """

    job: DistortJob
    reason: str
    detail: str = ''

    @property
    def has_file(self) -> bool:
        """Whether the new file exists."""
        return self.reason in ('written', 'there already', 'broken tail')


def distort_videos(
    jobs: Iterable[DistortJob], *, workers: int
) -> Iterator[Outcome]:
    """Distort videos in worker processes; yield each as it is finished.

    Raises:
        SettingError: ``workers`` is below 1.
        ImportError: PyAV is missing.
        OSError: A file cannot be written.
    """
    require('av')
    return run_in_processes(
        distort_video, jobs, workers=workers, on_crash=_crashed
    )


def distort_video(job: DistortJob) -> Outcome:
    """Distort a video file into an H.264 mp4 file, without sound.

    The file appears whole or not at all. One that is there and was made for
    the same job is left alone. A last ``VC`` is the encoding of the file
    itself, as in DeeperForensics; any other is followed by one at the job's
    crf.

    Raises:
        ImportError: PyAV is missing.
        OSError: The file cannot be written.
    """
    comment = (
        f'{format_distortions(job.distortions)} seed={job.seed} crf={job.crf}'
    )
    if _comment_of(job.target) == comment:
        return Outcome(job, 'there already')
    job.target.parent.mkdir(parents=True, exist_ok=True)
    part = job.target.with_name(f'.{job.target.name}.part')
    try:
        broken_at = _distort_file(job, part, comment)
    except VideoError as error:
        return Outcome(job, error.reason, error.detail)
    except ValueError as error:
        return Outcome(job, 'not distorted', str(error))
    else:
        part.replace(job.target)
    finally:
        part.unlink(missing_ok=True)
    if broken_at is None:
        return Outcome(job, 'written')
    return Outcome(
        job, 'broken tail', f'the file ends before frame {broken_at}'
    )


def find_videos(inputs: Sequence[Path], out: Path) -> dict[str, Path]:
    """List video files by the names that they get in ``out``.

    Args:
        inputs: Files, and folders that are searched to the bottom.
        out: The folder that will be written.

    Returns:
        Paths by name: relative to the folder, POSIX, without suffix.

    Raises:
        SettingError: An input is absent or holds no video, two videos have
            the same name, or one would be replaced by its distorted self.
    """
    found: dict[str, Path] = {}
    for path in inputs:
        for name, video in _videos_of(path, out):
            if name in found:
                raise SettingError(
                    f'{found[name]} and {video} would both become '
                    f'{name}.mp4. Remedy: distort them into two folders'
                )
            found[name] = video
    return found


def find_in_meta(
    meta: Mapping[str, tuple[Distortion, ...]], name: str
) -> tuple[Distortion, ...]:
    """Return what a meta file says about a video.

    It looks, in this order, for a path that ends in ``name``, one with the
    same file name, and one whose target is the video: a real ``000`` is
    distorted as the fake ``000_M101``, as DeeperForensics' README advises.
    Paths without distortions, which are earlier stages there, do not count.

    Args:
        meta: As :func:`~gml_mmaction.video.distortions.read_meta` returns it.
        name: As in :class:`DistortJob`.

    Raises:
        SettingError: There is no such path, or several that disagree.
    """
    wanted = PurePosixPath(name)
    paths = {
        _without_suffix(PurePosixPath(path.replace('\\', '/'))): distortions
        for path, distortions in meta.items()
        if distortions
    }
    tries: tuple[Callable[[PurePosixPath], bool], ...] = (
        lambda path: path.parts[-len(wanted.parts) :] == wanted.parts,
        lambda path: path.name == wanted.name,
        lambda path: path.name.partition('_')[0] == wanted.name,
    )
    for same in tries:
        found = {of for path, of in paths.items() if same(path)}
        if len(found) == 1:
            return found.pop()
        if found:
            raise DataError(
                f'the meta file has several lines for {wanted} that '
                'disagree. Remedy: keep only those of the variant'
            )
    raise DataError(
        f'the meta file has no line for {wanted}. Remedy: add one, or '
        'leave the video out'
    )


def _distort_file(job: DistortJob, part: Path, comment: str) -> int | None:
    """Write ``part``; return the index of the frame where the source broke."""
    distortions: Sequence[Distortion] = job.distortions
    crf = job.crf
    if distortions and distortions[-1][0] == 'VC':
        *distortions, (_, level) = distortions
        crf = int(LEVELS['VC'][level - 1])
    with _open(job.source) as video:
        frames = distort_frames(
            video.frames(),
            distortions,
            seed=seed_of(job.name, job.seed),
            fps=video.fps,
        )
        write_h264(str(part), frames, fps=video.fps, crf=crf, comment=comment)
        return video.broken_at


def _open(path: Path) -> Frames:
    try:
        return open_video(path)
    except OSError as error:  # an unreadable video must not end the run
        raise VideoError(
            'unreadable', error.strerror or 'no such file'
        ) from error


def _comment_of(path: Path) -> str | None:
    """Return the comment in a video's header, None if there is no video."""
    av = require('av')
    try:
        with av.open(str(path)) as file:
            return file.metadata.get('comment')
    except (av.error.FFmpegError, OSError):
        return None


def _crashed(job: DistortJob) -> Outcome:
    return Outcome(job, 'crashed', 'the process that worked on it crashed')


def _videos_of(path: Path, out: Path) -> Iterator[tuple[str, Path]]:
    """Yield (name, file) of an input, in the order of names."""
    if path.is_file():
        root = path.parent
        files = [path] if is_well_named(Path(path.name), root) else []
    else:
        root, files = path, video_files(path)
        if out.resolve().is_relative_to(path.resolve()):
            raise SettingError(
                f'{out} lies in {path}, where videos are read. Remedy: '
                'write to another folder'
            )
        if not files:
            raise DataError(
                f'{path}: no video, or no valid file name. Remedy: another '
                'file or folder'
            )
    for file in files:
        name = _without_suffix(PurePosixPath(file.relative_to(root)))
        if (out / f'{name}.mp4').resolve() == file.resolve():
            raise SettingError(
                f'{file} would be replaced by its own copy. Remedy: write '
                'to another folder'
            )
        yield str(name), file


def _without_suffix(path: PurePosixPath) -> PurePosixPath:
    known = path.suffix.lower() in VIDEO_SUFFIXES
    return path.with_suffix('') if known else path
