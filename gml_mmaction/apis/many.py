"""Many videos, by several processes, and not again what is finished.

    OUT/NAME/prediction.json, timeline.png, moment.jpg, overlay.mp4
    OUT/NAME/finished.json        what they depend on; written last
    OUT/summary.csv, summary.html a row a video; when all are done

While the detector and the options are those of ``finished.json``, and the
video has the SHA-256 that its report names, the video is not done again; so a
run that was stopped goes on where it was. Its size and time would not do: a
report is evidence, and a file can be replaced by one that has both.
"""

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

import gml_mmaction
from gml_mmaction.errors import CheckpointError, GMLError
from gml_mmaction.evaluation.prediction import Prediction
from gml_mmaction.io.files import write_json
from gml_mmaction.io.pool import run_in_processes, run_on_cluster
from gml_mmaction.io.records import Record, as_json, read_record
from gml_mmaction.version import __version__

from .allowed import import_own
from .analysis import sha256_of

if TYPE_CHECKING:
    from .inferencer import ForgeryInferencer

__all__ = [
    'Job',
    'Settings',
    'finished',
    'note_finished',
    'predict_video',
    'run',
]

# these may be due to the machine, not the video: tried again
CIRCUMSTANTIAL = ('crashed', 'error', 'missing', 'unreadable')


class Settings(Record, frozen=True, kw_only=True):
    """What the results of all videos depend on.

    Attributes:
        sha256: Of the checkpoint.
        threshold: Of a video's score.
        origin: Where it comes from, in words.
        heat: What heat maps show.
        overlay: Whether there is an overlay video.
        calibration: What a report says of it.
        even_if_unlike: See :func:`~gml_mmaction.apis.analyse`.
        relative_heat: Likewise.
        version: Of this package.
    """

    sha256: str
    threshold: float
    origin: str
    heat: str
    overlay: bool
    calibration: dict[str, Any] | None
    even_if_unlike: bool
    relative_heat: bool
    version: str = __version__


class Finished(Record, frozen=True, kw_only=True):
    """``finished.json``.

    Attributes:
        settings: Of the run.
        clips: Moments that were scored; 0: all.
        video: The file.
        files: What was written, by kind.
    """

    settings: Settings
    clips: int
    video: str
    files: dict[str, str]


class Job(NamedTuple):
    """One video to be done.

    Attributes:
        source: A file, a folder of images, or frames.
        name: For progress bars.
        folder: Where to write; None: nowhere.
        clips: Moments to score; 0: all.
        settings: What the result depends on.
        checkpoint: The file.
        device: Where the network runs.
        given: The threshold if it is not the checkpoint's.
        batch_size: Clips that the network takes at once.
        threads: Of the network; 0: as they are.
        modules: Of a network of one's own, to be imported.
    """

    source: str | Path | np.ndarray
    name: str
    folder: Path | None
    clips: int
    settings: Settings
    checkpoint: Path
    device: str
    given: float | None
    batch_size: int
    threads: int = 0
    modules: tuple[str, ...] = ()


Result = tuple[Job, Prediction, dict[str, str]]


def run(
    jobs: Iterable[Job], *, workers: int = 1, cluster: str | None = None
) -> Iterator[Result]:
    """Do jobs in processes; yield their results as they come.

    Args:
        jobs: What to do.
        workers: Processes on this machine.
        cluster: Address of a Dask scheduler whose workers do the work instead;
            they must see checkpoint, videos and folders at the same places.
    """
    if cluster is not None:
        return run_on_cluster(
            predict_video, jobs, cluster=cluster, on_crash=_crashed
        )
    # the network's threads would be in each other's way
    threads = max(1, torch.get_num_threads() // workers)
    return run_in_processes(
        predict_video,
        [job._replace(threads=threads) for job in jobs],
        workers=workers,
        on_crash=_crashed,
        begin=gml_mmaction.register,
    )


def predict_video(job: Job) -> Result:
    """Do one video and write its reports; runs in a worker process.

    Raises:
        CheckpointError: The checkpoint is another than it was.
        OSError: A report cannot be written.
    """
    if job.threads:
        torch.set_num_threads(job.threads)
    inferencer = _inferencer(
        job.checkpoint, job.device, job.given, job.settings, job.modules
    )
    if inferencer.detector['sha256'] != job.settings.sha256:
        raise CheckpointError(
            f'{job.checkpoint}: changed while the videos were done. Remedy: '
            'give the command again'
        )
    analysis, files = inferencer.do(job)
    return job, analysis.prediction, files


@functools.lru_cache(maxsize=1)
def _inferencer(
    checkpoint: Path,
    device: str,
    threshold: float | None,
    settings: Settings,
    modules: tuple[str, ...],
) -> 'ForgeryInferencer':
    from .inferencer import ForgeryInferencer

    gml_mmaction.register()
    for module in modules:
        import_own(module)
    return ForgeryInferencer(
        checkpoint,
        device,
        threshold,
        settings.heat,
        even_if_unlike=settings.even_if_unlike,
        relative_heat=settings.relative_heat,
    )


def _crashed(job: Job) -> Result:
    prediction = Prediction(
        input=str(job.source),
        status='crashed',
        detail='the process that read it died',
        threshold=job.settings.threshold,
    )
    return job, prediction, {}


def note_finished(
    job: Job, prediction: Prediction, files: dict[str, str]
) -> None:
    """Note that a video is done, unless another try may do better.

    Args:
        job: The video.
        prediction: What was found. Its hash was taken before the video was
            read, so that one that changes meanwhile, as in a download, is
            done again.
        files: What was written, by kind.
    """
    if prediction.status in CIRCUMSTANTIAL or prediction.sha256 is None:
        return
    assert job.folder is not None  # it was written to
    done = Finished(
        settings=job.settings,
        clips=job.clips,
        video=str(job.source),
        files={kind: Path(path).name for kind, path in files.items()},
    )
    write_json(job.folder / 'finished.json', as_json(done))


def finished(job: Job) -> Result | None:
    """What an earlier run found, if it still holds."""
    if job.folder is None:
        return None
    try:
        before = read_record(
            job.folder / 'finished.json',
            Finished,
            what='record of a video that is done',
            remedy='remove it',
        )
        given = (job.settings, job.clips, str(job.source))
        if (before.settings, before.clips, before.video) != given:
            return None
        files = {k: job.folder / name for k, name in before.files.items()}
        if not all(path.is_file() for path in files.values()):
            return None
        prediction = read_record(
            job.folder / 'prediction.json',
            Prediction,
            what='prediction',
            remedy='remove it',
        )
    except (OSError, GMLError):
        return None
    if prediction.sha256 is None or prediction.sha256 != sha256_of(job.source):
        return None
    return job, prediction, {kind: str(path) for kind, path in files.items()}
