"""Many videos, one after the other, with their reports."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from gml_mmaction.errors import GMLError
from gml_mmaction.io.files import read_json, write_bytes, write_json
from gml_mmaction.io.records import as_json
from gml_mmaction.io.rules import is_place
from gml_mmaction.stack import installed_versions
from gml_mmaction.video import VideoError
from gml_mmaction.visualization.summary import NAMES, row_of, write_summary

from .analysis import (
    HEAT_SCALES,
    Analysis,
    Progress,
    Source,
    analyse,
    name_of,
)
from .inputs import Found, InputError, Inputs, find_inputs
from .loading import load_detector
from .many import (
    Job,
    Result,
    Settings,
    finished,
    note_finished,
    run,
)

__all__ = ['ForgeryInferencer']

# Of each video in a folder, without --clips.
FOLDER_CLIPS = 16
WRITTEN = (
    *('finished.json', 'prediction.json', 'timeline.png', 'moment.jpg'),
    'overlay.mp4',
)


HEAT_WORDS = {
    'absolute': 'Heat is on the scale of genuine validation videos: it shows '
    'where it is higher than anywhere in 95 of 100 of their frames.',
    'relative': "Heat is relative to the video's own range: the hottest "
    'place of a genuine video glows too.',
}
NO_HEAT = 'No heat maps: the network gives no map of a clip to explain.'


class ForgeryInferencer:
    """Scores videos; called like MMAction2's inferencers.

    >>> inferencer = ForgeryInferencer('best_video_auc_iter_N.pth')
    >>> inferencer('suspect.mp4', out_dir='verdict')['predictions'][0]['score']

    It is not a subclass of ``mmengine.infer.BaseInferencer``, which runs the
    config of a checkpoint as a program and keeps all inputs in memory.

    Args:
        checkpoint: A file of ``gml train``; nothing else is needed.
        device: ``'cpu'``, ``'cuda:1'``; by default the best available.
        threshold: Instead of the checkpoint's.
        heat: What the heat maps show: ``'auto'``, ``'clue'``, ``'cam'`` or
            ``'none'``; see
            :meth:`~gml_mmaction.apis.Detector.score`.
        clips: How many moments of a video to score, spread over it; 0: all
            of it. By default all of a file that is named, and
            ``FOLDER_CLIPS`` moments of each video in a folder.
        even_if_unlike: Whether there is a verdict on a video, too, that is
            unlike the training data.
        relative_heat: Whether heat is drawn by the video's own range, not by
            that of genuine validation videos.

    Attributes:
        detector: What a report says of it, fit for JSON.

    Raises:
        DetectorError: See :func:`~gml_mmaction.apis.load_detector`.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        device: str | None = None,
        threshold: float | None = None,
        heat: str = 'auto',
        clips: int | None = None,
        *,
        even_if_unlike: bool = False,
        relative_heat: bool = False,
    ) -> None:
        if clips is not None and clips < 0:
            raise InputError(f'clips {clips}. Remedy: give 0 for all, or more')
        self._clips, self._given = clips, threshold
        self._detector = load_detector(checkpoint, device, threshold)
        self._heat = self._detector.heat_kind(heat)
        self._even_if_unlike = even_if_unlike
        self._relative_heat = relative_heat
        ends = self._detector.heat_ends(self._heat)
        absolute = ends is not None and not relative_heat
        scale = HEAT_SCALES[absolute]
        self.detector = dict(
            self._detector.facts, heat=self._heat, heat_scale=scale
        )
        if self._heat != 'none':
            self.detector['words'].append(HEAT_WORDS[scale])
        elif heat == 'auto':
            self.detector['words'].append(NO_HEAT)

    def analyse(
        self,
        source: Source,
        progress: Progress | None = None,
        *,
        name: str | None = None,
        batch_size: int = 4,
        heat: bool = True,
        clips: int | None = None,
    ) -> Analysis:
        """Analyse one video.

        Args:
            source: A file, a folder or archive of images, or an array
                (T, H, W, 3), RGB, uint8.
            progress: Called with the number of frames done and of all
                frames; may raise, to stop.
            name: Of the video in the result.
            batch_size: Clips that the network takes at once.
            heat: Whether to keep heat maps.
            clips: Instead of the inferencer's; 0: all.

        Returns:
            The analysis; also for a video that cannot be read.
        """
        return analyse(
            self._detector,
            source,
            name=name,
            heat=self._heat if heat else 'none',
            batch_size=batch_size,
            clips=self._clips if clips is None else clips,
            even_if_unlike=self._even_if_unlike,
            relative_heat=self._relative_heat,
            progress=progress,
        )

    def report(self, analysis: Analysis) -> dict[str, Any]:
        """What ``prediction.json`` holds: made-up training data come first.

        The same video, options and machine give the same report to the
        letter: it has neither a date nor the time that the analysis took.
        """
        origin = self.detector['origin']
        first = {'origin': f'trained on {origin}'} if origin else {}
        prediction = as_json(analysis.prediction)
        del prediction['timing']
        return {
            **first,
            **prediction,
            'options': analysis.options,
            'versions': installed_versions(),
            'detector': self.detector,
        }

    def __call__(
        self,
        inputs: Inputs,
        batch_size: int = 4,
        out_dir: str | Path | None = None,
        overlay: bool = True,
        show_progress: bool = True,
    ) -> dict[str, list]:
        """Analyse all inputs and write their reports.

        Args:
            inputs: A video file; a folder of videos; a folder or archive of
                images, which is one video; an array; or a list of these.
            batch_size: Clips that the network takes at once.
            out_dir: Folder for reports, one folder a video with
                ``prediction.json``, ``timeline.png``, ``moment.jpg`` and
                ``overlay.mp4``, and of several videos or a folder
                ``summary.csv`` and ``summary.html``; None writes nothing.
            overlay: Whether to write overlay videos.
            show_progress: Whether to draw a bar of each video's frames.

        Returns:
            ``predictions``, in the order of the inputs, as dicts (see
            :class:`~gml_mmaction.evaluation.prediction.Prediction`);
            ``visualization``, of each the files written, by
            ``'prediction'``, ``'timeline'``, ``'moment'`` and ``'overlay'``;
            and ``unread``, a line for each file in the folders that is not
            read.

        Raises:
            InputError: There is no video.
            OSError: A report cannot be written.
        """
        predictions, files = [], []
        found = find_inputs(inputs)
        for analysis, written in self.iterate(
            found, batch_size, out_dir, overlay, show_progress
        ):
            predictions.append(as_json(analysis.prediction))
            files.append(written)
        return dict(
            predictions=predictions,
            visualization=files,
            unread=found.unread,
        )

    def iterate(
        self,
        inputs: Inputs | Found,
        batch_size: int = 4,
        out_dir: str | Path | None = None,
        overlay: bool = True,
        show_progress: bool = True,
        *,
        skip_finished: bool = False,
        workers: int = 1,
        cluster: str | None = None,
        modules: Sequence[str] = (),
    ) -> Iterator[tuple[Analysis, dict[str, str]]]:
        """Yield each input's analysis and files; arguments as in the call.

        Args:
            inputs: As in the call, like the next four; or what
                :func:`~.inputs.find_inputs` has found.
            batch_size: Clips at once.
            out_dir: Folder for reports.
            overlay: Whether to write overlay videos.
            show_progress: Whether to draw bars.
            skip_finished: Whether to take over what an earlier run with the
                same detector and options wrote to ``out_dir``; these come
                first.
            workers: Processes. With several, results come as they are done,
                without heat maps; inputs are files or folders, and ``out_dir``
                is needed.
            cluster: Address of a Dask scheduler; its workers do the work.
            modules: Those of a network of one's own, for the processes to
                import.
        """
        many = workers > 1 or cluster is not None
        found = find_inputs(inputs)
        jobs = self._jobs(found, batch_size, out_dir, overlay)
        done = self._each(
            jobs, many, show_progress, skip_finished, workers, cluster, modules
        )
        if out_dir is None or not found.summarised:
            yield from done
            return
        for name in NAMES:
            Path(out_dir, name).unlink(missing_ok=True)  # of another run
        rows = []
        for analysis, files in done:
            rows.append(row_of(analysis.prediction, files))
            yield analysis, files
        write_summary(out_dir, rows, self.detector, found.unread)

    def _each(
        self,
        jobs: list[Job],
        many: bool,
        show_progress: bool,
        skip_finished: bool,
        workers: int,
        cluster: str | None,
        modules: Sequence[str],
    ) -> Iterator[tuple[Analysis, dict[str, str]]]:
        """Yield the results of jobs, those that are finished first."""
        if many and not all(isinstance(job.folder, Path) for job in jobs):
            raise InputError('workers need a folder. Remedy: give out_dir')
        todo = []
        for job in jobs:
            before = finished(job) if skip_finished else None
            if before is None:
                todo.append(job)
            else:
                yield self._result(before)
        if not many:
            for job in todo:
                yield self._do(job, show_progress)
            return
        todo = [job._replace(modules=tuple(modules)) for job in todo]
        results = run(todo, workers=workers, cluster=cluster)
        for result in tqdm(
            results, total=len(todo), unit='video', disable=not show_progress
        ):
            yield self._result(result)

    def _jobs(
        self,
        found: Found,
        batch_size: int,
        out_dir: str | Path | None,
        overlay: bool,
    ) -> list[Job]:
        sources = [video.source for video in found.videos]
        threshold = self._detector.threshold
        settings = Settings(
            sha256=self._detector.sha256,
            threshold=threshold.value,
            origin=threshold.origin,
            heat=self._heat,
            overlay=overlay and out_dir is not None,
            calibration=self.detector['calibration'],
            even_if_unlike=self._even_if_unlike,
            relative_heat=self._relative_heat,
        )
        return [
            Job(
                source=source,
                name=name,
                folder=None if out_dir is None else Path(out_dir, name),
                clips=self._moments(named),
                settings=settings,
                checkpoint=self._detector.checkpoint.absolute(),
                device=str(self._detector.device),
                given=self._given,
                batch_size=batch_size,
            )
            for (source, named), name in zip(
                found.videos, _folder_names(sources, out_dir), strict=True
            )
        ]

    def _moments(self, named: bool) -> int:
        if self._clips is not None:
            return self._clips
        return 0 if named else FOLDER_CLIPS

    def _do(
        self, job: Job, show_progress: bool
    ) -> tuple[Analysis, dict[str, str]]:
        """Do a job in this process."""
        with tqdm(
            desc=job.name, unit='frame', disable=not show_progress
        ) as bar:
            return self.do(job, _shown_by(bar))

    def do(
        self, job: Job, progress: Progress | None = None
    ) -> tuple[Analysis, dict[str, str]]:
        """Analyse a video and write its reports."""
        analysis = self.analyse(
            job.source,
            progress,
            batch_size=job.batch_size,
            heat=job.settings.overlay,
            clips=job.clips,
        )
        if job.folder is None:
            return analysis, {}
        written = self._write(analysis, job.folder, job.settings.overlay)
        note_finished(job, analysis.prediction, written)
        return analysis, written

    def _result(self, result: Result) -> tuple[Analysis, dict[str, str]]:
        job, prediction, files = result
        return Analysis(job.source, prediction, self._detector.facts), files

    def _write(
        self, analysis: Analysis, folder: Path, overlay: bool
    ) -> dict[str, str]:
        folder.mkdir(parents=True, exist_ok=True)
        files = dict(
            prediction=folder / 'prediction.json',
            timeline=folder / 'timeline.png',
        )
        for name in WRITTEN:
            (folder / name).unlink(missing_ok=True)  # of another run
        if analysis.prediction.video:
            analysis.draw_timeline(files['timeline'])
        else:
            del files['timeline']
        if (face := analysis.draw_face()) is not None:
            files['moment'] = folder / 'moment.jpg'
            write_bytes(files['moment'], face)
        if overlay and analysis.prediction.video:
            try:
                files['overlay'] = folder / 'overlay.mp4'
                analysis.write_overlay(files['overlay'])
            except VideoError as error:  # changed since it was analysed
                del files['overlay']
                analysis.prediction.notes.append(
                    f'the overlay was not written: {error}'
                )
        write_json(files['prediction'], self.report(analysis))
        return {kind: str(path) for kind, path in files.items()}


def _folder_names(
    sources: Sequence[Source], out: str | Path | None
) -> list[str]:
    """A folder's name for each source; names that are taken get a number.

    Taken are those of other sources, and of other videos' reports in ``out``.
    """
    names: list[str] = []
    for source in sources:
        if isinstance(source, np.ndarray):
            stem = 'array'
        else:
            stem = Path(source).stem or 'video'
        # file systems take 255 bytes, and names that are not text
        if not is_place(stem) or len(stem.encode()) > 200:
            digest = hashlib.sha256(stem.encode(errors='surrogatepass'))
            short = ''.join(filter(str.isprintable, stem)).encode()[:150]
            start = short.decode(errors='ignore') or 'video'
            stem = f'{start}-{digest.hexdigest()[:8]}'
        name, count = stem, 1
        while (
            name in names
            or name in NAMES
            or (out and _is_of_another(Path(out, name), source))
        ):
            count += 1
            name = f'{stem}-{count}'
        names.append(name)
    return names


def _is_of_another(folder: Path, source: Source) -> bool:
    """Whether a folder has the report of another video."""
    try:
        before = Path(read_json(folder / 'prediction.json')['input'])
    except (OSError, GMLError, ValueError, KeyError, TypeError):
        return False
    return before.resolve() != Path(name_of(source)).resolve()


def _shown_by(bar: tqdm) -> Progress:
    def show(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return show
