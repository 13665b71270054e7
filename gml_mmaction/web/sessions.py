"""Visitors of the page, and their files, which are kept for a while.

A server has one folder, a visitor has one folder in it for each video, and
the names in it are the server's own. Nobody finds another one's files: a
session is known by its token, 256 random bits, which its own page alone has.
"""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import cv2
import numpy as np
from filelock import FileLock, Timeout

from gml_mmaction.io.files import write_json
from gml_mmaction.io.text import counted
from gml_mmaction.video import open_video

from .queue import Job, JobQueue, Progress

__all__ = ['Limits', 'Session', 'Sessions', 'Upload', 'UploadError']

PREFIX = 'gml-web-'
USUAL_FPS = 25  # where a file does not say how fast it is


class UploadError(ValueError):
    """A file that is not taken; the message is for the visitor."""


@dataclass(frozen=True)
class Limits:
    """What a visitor may upload and how long it is held.

    Attributes:
        megabytes: Size of a file, in 10^6 bytes.
        minutes: Length of a video.
        keep_minutes: Time without any use after which files are removed.
        uploads: Videos that come in or wait for their analysis at once.
        wait_seconds: How long a connection may keep the server waiting, see
            :mod:`~gml_mmaction.web.timeouts`.
    """

    megabytes: float = 500
    minutes: float = 10
    keep_minutes: float = 60
    uploads: int = 8
    wait_seconds: float = 10

    @property
    def num_bytes(self) -> int:
        return int(self.megabytes * 1e6)

    def check_size(self, num_bytes: int) -> None:
        """Refuse a file of too many bytes.

        Raises:
            UploadError: It is too large.
        """
        if num_bytes > self.num_bytes:
            raise UploadError(f'larger than {self.megabytes:g} MB')

    def check_length(self, path: Path) -> None:
        """Refuse a video that cannot be read or is too long.

        Raises:
            UploadError: It is too long.
            VideoError: It is not a video, or is broken.
        """
        with open_video(path) as video:
            seconds = video.num_frames / (video.fps or USUAL_FPS)
        if seconds > 60 * self.minutes:
            raise UploadError(
                f'{seconds / 60:.1f} minutes long; '
                f'the limit is {counted(self.minutes, "minute")}'
            )


class Upload:
    """One uploaded video and what was made of it.

    Attributes:
        name: The visitor's name of the file, for display alone.
        video: Where the uploaded bytes are.
        files: What may be downloaded, by the name in its address.
        received: Bytes that have come in, and bytes in all (0 = unknown).
        analysis: The job that ends with the inferencer's result.
        overlay: The job that writes the overlay video, once asked for.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.video = folder / 'video'
        self.files: dict[str, Path] = {}
        self.received = (0, 0)
        self.analysis: Job | None = None
        self.overlay: Job | None = None
        self._moments = 0
        self._drawing = threading.Lock()
        self._removed = False

    @property
    def result(self) -> Any:
        """What the analysis found, which is done."""
        assert self.analysis is not None
        return self.analysis.result

    def analyse(self, inferencer: Any, progress: Progress) -> Any:
        """Analyse the video; write the files of gml predict."""
        with self._writing():
            result = inferencer.analyse(self.video, progress, name=self.name)
            report = inferencer.report(result)
            write_json(self._add('prediction.json'), report)
            if result.prediction.video:
                result.draw_timeline(self._add('timeline.png'))
            return result

    def write_overlay(self, progress: Progress) -> None:
        """Write the video with box, score and heat map."""
        with self._writing():
            path = self.folder / 'overlay.mp4'
            self.result.write_overlay(path, progress=progress)
            self.files['overlay.mp4'] = path

    def draw_moment(
        self, seconds: float, wanted: Callable[[], bool]
    ) -> tuple[Any, str, str] | None:
        """Draw a moment, when the ones asked for before are drawn.

        The pictures of the moment before are removed.

        Args:
            seconds: Where in the video.
            wanted: Whether the visitor still waits for it.

        Returns:
            The moment and the names of frame and flow; None where the
            visitor or the moment is not there.

        Raises:
            VideoError: The frame cannot be decoded.
        """
        with self._drawing, self._writing():
            if self._removed or not wanted():
                return None
            moment = self.result.moment(seconds)
            if moment is None:
                return None
            for name in [name for name in self.files if '.jpg' in name]:
                self.files.pop(name).unlink(missing_ok=True)
            self._moments += 1
            names = f'frame{self._moments}.jpg', f'flow{self._moments}.jpg'
            for name, image in zip(names, (moment.overlay, moment.flow)):
                _write_jpeg(self._add(name), image)
            return moment, *names

    def remove(self) -> None:
        """Stop what runs and remove all files."""
        self._removed = True
        for job in (self.analysis, self.overlay):
            if job is not None:
                job.stop()
        self.files.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _add(self, name: str) -> Path:
        self.files[name] = self.folder / name
        return self.files[name]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Leave nothing behind where the upload was removed meanwhile."""
        try:
            yield
        finally:
            if self._removed:
                shutil.rmtree(self.folder, ignore_errors=True)


def _write_jpeg(path: Path, image: np.ndarray) -> None:
    bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    path.write_bytes(cv2.imencode('.jpg', bgr)[1].tobytes())


class Session:
    """One open page.

    Attributes:
        token: Names the session in addresses; nobody can guess it.
        upload: The visitor's video, if there is one.
        message: One line about what went wrong, or ``''``.
        used: When the visitor last did something, by ``time.monotonic``.
    """

    def __init__(self) -> None:
        self.token = token_urlsafe(32)
        self.upload: Upload | None = None
        self.message = ''
        self.touch()

    @property
    def stage(self) -> str:
        """What the page has to show.

        ``'empty'``, ``'receiving'``, or the state of the analysis.
        """
        if self.upload is None:
            return 'empty'
        if self.upload.analysis is None:
            return 'receiving'
        return self.upload.analysis.state

    @property
    def busy(self) -> bool:
        """Whether the visitor waits for something."""
        upload = self.upload
        jobs = [upload.analysis, upload.overlay] if upload else []
        return self.stage == 'receiving' or any(
            job is not None and not job.ended for job in jobs
        )

    def address(self, name: str) -> str:
        """Return the address of a file of this session, without the host."""
        return f'/session/{self.token}/{name}'

    def touch(self) -> None:
        """Note that the visitor is still there."""
        self.used = time.monotonic()

    def drop(self, message: str = '', upload: Upload | None = None) -> None:
        """Remove the visitor's video and say why.

        Args:
            message: One line for the visitor.
            upload: The video that is meant, if another may be there by now,
                which stays.
        """
        if upload not in (None, self.upload):
            return
        if self.upload is not None:
            self.upload.remove()
        self.upload = None
        self.message = message


class Sessions:
    """All open pages, the queue they wait in and the folder of their files.

    Args:
        inferencer: A ``ForgeryInferencer`` or what acts like it.
        limits: Of an upload.
        parent: Where the folder is made; the system's folder for temporary
            files if not given. What a server that crashed has left there is
            removed.
    """

    def __init__(
        self, inferencer: Any, limits: Limits, parent: str | Path | None = None
    ) -> None:
        self.inferencer = inferencer
        self.limits = limits
        self.queue = JobQueue()
        self.folder, self._lock = _own_folder(parent)
        self._sessions: dict[str, Session] = {}
        _remove_leftovers(self.folder)

    def open(self) -> Session:
        """Begin a session."""
        session = Session()
        self._sessions[session.token] = session
        return session

    def find(self, token: str) -> Session | None:
        """Return the session of a token and note that it is in use."""
        session = self._sessions.get(token)
        if session is not None:
            session.touch()
        return session

    def begin(self, session: Session, name: str) -> Upload:
        """Make room for a video; the one before is removed.

        Raises:
            UploadError: Others have as many under way as may be; the
                visitor's own video stays.
        """
        others = (v for v in self._sessions.values() if v is not session)
        if sum(other.busy for other in others) >= self.limits.uploads:
            raise UploadError(
                'not taken: the server is busy with as many videos as it '
                f'takes at once ({self.limits.uploads}); try again later'
            )
        session.drop()
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        session.upload = Upload(folder, name)
        return session.upload

    def analyse(self, upload: Upload) -> None:
        """Put a received video at the end of the queue."""
        upload.analysis = self.queue.put(
            lambda progress: upload.analyse(self.inferencer, progress)
        )

    def write_overlay(self, upload: Upload) -> None:
        """Put a video's overlay at the end of the queue."""
        upload.overlay = self.queue.put(upload.write_overlay)

    def close(self, session: Session) -> None:
        """End a session and remove its files."""
        session.drop()
        self._sessions.pop(session.token, None)

    def sweep(self) -> None:
        """Remove the files of sessions that were not used for long."""
        minutes = self.limits.keep_minutes
        for session in list(self._sessions.values()):
            idle = time.monotonic() - session.used > 60 * minutes
            if idle and session.upload is not None and not session.busy:
                session.drop(
                    f'The files of {session.upload.name} were removed after '
                    f'{counted(minutes, "minute")} without use.'
                )

    def shut_down(self) -> None:
        """Remove all files, when the server ends."""
        for session in list(self._sessions.values()):
            self.close(session)
        self.queue.close()
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def _own_folder(parent: str | Path | None) -> tuple[Path, FileLock]:
    """Make a folder and hold its lock, which says that its server lives."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = FileLock(folder / 'lock', thread_local=False)
        try:
            lock.acquire(timeout=0)
            return folder, lock
        except (Timeout, FileNotFoundError):
            continue  # another server took it for a left-over just now


def _remove_leftovers(own: Path) -> None:
    """Remove the folders of servers that ended without doing so.

    The system gives up a lock when its process ends, in whatever way.
    """
    for folder in own.parent.glob(f'{PREFIX}*'):
        if folder == own or not _is_ours(folder, own):
            continue
        try:
            with FileLock(folder / 'lock').acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except (Timeout, OSError):
            continue


def _is_ours(folder: Path, own: Path) -> bool:
    """Whether it is a folder, no link to one, and of the same user."""
    return (
        folder.is_dir()
        and not folder.is_symlink()
        and folder.stat().st_uid == own.stat().st_uid
    )
