"""Images in a folder or archive, read as the frames of a video.

An archive's images are held in memory, 2 GB of them at most, and a frame has
64 million pixels at most. ``GML_MAX_UNPACKED_MB`` and ``GML_MAX_MEGAPIXELS``
in the environment say otherwise.
"""

import io
import os
import re
import tarfile
import warnings
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO

import cv2
import numpy as np
from PIL import Image

from ..errors import VideoError
from .files import is_image
from .frames import Frames

__all__ = ['ImageSequence']


class ImageSequence(Frames):
    """Images in a folder or archive, read as the frames of a video.

    Frame i is the i-th image by the numbers in the file names (``2.png``
    before ``10.png``); they may have gaps, see ``names``. Each frame has the
    size of its image. An archive is read once, from front to back, and the
    images asked for are held as the bytes they are stored as.

    Args:
        path: A folder, or an archive (zip, tar, tar.gz, ...).
        member: Folder inside ``path``; ``''`` for the images at its top.

    Attributes:
        names: File names, in the order of the frames.
        num_frames: Number of images.
        fps: 0, since it is not known.
        width: Of the first image in pixels.
        height: Of the first image in pixels.
        broken_at: The first image that could not be decoded.

    Raises:
        VideoError: There are no images (``'empty'``), or the archive or the
            first image cannot be read (``'unreadable'``).
        FileNotFoundError: There is no such file or folder.
    """

    fps = 0.0

    def __init__(self, path: str | Path, member: str = '') -> None:
        self.path = Path(path)
        if self.path.is_dir():
            images = _list_folder(self.path / member)
        else:
            images = _read_archive(self.path, PurePosixPath(member))
        if not images:
            raise VideoError('empty', f'no images in {member or "it"}')
        self.names = sorted(images, key=_natural)
        self._images = [images[name] for name in self.names]
        self.num_frames = len(self.names)
        first = self._read(0)
        if first is None:
            raise VideoError('unreadable', f'{self.names[0]} is no image')
        self.height, self.width = first.shape[:2]

    def _read(self, index: int) -> np.ndarray | None:
        image = self._images[index]
        if isinstance(image, Path):
            image = image.read_bytes()
        if image:
            _check_pixels(self.names[index], image)
            frame = cv2.imdecode(
                np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR
            )
            if frame is not None:
                return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        self.broken_at = index
        return None


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key: numbers in a name count by value."""
    parts = re.findall(r'\d+|\D+', name)
    return [
        (int(part), '') if part.isdecimal() else (-1, part) for part in parts
    ]


def _list_folder(folder: Path) -> dict[str, Path]:
    return {  # a device may have no end
        path.name: path
        for path in folder.iterdir()
        if is_image(path.name) and path.is_file()
    }


class Budget:
    """How many bytes an archive may still unpack to."""

    def __init__(self) -> None:
        self.left = self.limit = _setting('GML_MAX_UNPACKED_MB', 2000)

    def read(self, file: IO[bytes]) -> bytes:
        """Read a file of the archive.

        Raises:
            VideoError: There is more in it than is left.
        """
        data = file.read(self.left + 1)
        self.left -= len(data)
        if self.left < 0:
            raise VideoError(
                'unreadable',
                f'its images unpack to more than {self.limit // 10**6} MB; '
                'set GML_MAX_UNPACKED_MB, or unpack it to a folder',
            )
        return data


def _setting(name: str, default: int) -> int:
    """A number of millions from the environment."""
    text = os.environ.get(name, '')
    return (int(text) if text.isdecimal() else default) * 10**6


def _check_pixels(name: str, image: bytes) -> None:
    """Refuse an image that is too large, by its header.

    Raises:
        VideoError: It is.
    """
    limit = _setting('GML_MAX_MEGAPIXELS', 64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with Image.open(io.BytesIO(image)) as header:
                width, height = header.size
    except Image.DecompressionBombError:
        width = height = 10**6
    except Exception:  # OpenCV says whether it is an image
        return
    if width * height > limit:
        raise VideoError(
            'unreadable',
            f'{name} has more than {limit // 10**6} million pixels; make it '
            'smaller, or set GML_MAX_MEGAPIXELS',
        )


def _read_archive(path: Path, folder: PurePosixPath) -> dict[str, bytes]:
    """Return the bytes of the images right in a folder of an archive."""

    def wanted(name: str) -> bool:
        inner = PurePosixPath(name)
        return inner.parent == folder and is_image(inner.name)

    images, budget = {}, Budget()
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in filter(wanted, archive.namelist()):
                    with archive.open(name) as file:
                        images[PurePosixPath(name).name] = budget.read(file)
            return images
        with tarfile.open(path) as archive:
            for entry in archive:
                if entry.isfile() and wanted(entry.name):
                    image = budget.read(archive.extractfile(entry))
                    images[PurePosixPath(entry.name).name] = image
    except (FileNotFoundError, VideoError):
        raise
    except Exception:  # of a damaged archive, also those of its compression
        raise VideoError('unreadable', 'no archive, or a broken one') from None
    return images
