"""Images in a folder or archive, read as the frames of a video.

An archive's images are held in memory; :mod:`~gml_mmaction.video.limits` sets
how many, and how large.
"""

import io
import re
import tarfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from PIL import Image

from gml_mmaction.errors import VideoError

from .files import is_image
from .frames import SIZES_DIFFER, Frames
from .limits import Budget, check_pixels

__all__ = ['ImageSequence']

PNG = b'\x89PNG\r\n\x1a\n'


class ImageSequence(Frames):
    """Images in a folder or archive, read as the frames of a video.

    Frame i is the i-th image by the numbers in the file names (``2.png``
    before ``10.png``); the numbers may have gaps, see ``names``. An archive
    is read once, from front to back; its images are held still encoded.

    Args:
        path: A folder, or an archive (zip, tar, tar.gz, ...).
        member: Folder inside ``path``; ``''`` for the images at its top.
        one_size: Resize all images to the size of the first, as in a video;
            if False, each frame keeps the size of its image, which differs
            in some sets of face crops.

    Attributes:
        names: File names, in the order of the frames.
        num_frames: Number of images.
        fps: 0, for unknown.
        width: Of the first image in pixels.
        height: Of the first image in pixels.
        broken_at: The first image that could not be decoded.
        notes: What was changed, one line each.

    Raises:
        VideoError: There are no images (``'empty'``), or the archive or the
            first image cannot be read (``'unreadable'``).
        FileNotFoundError: The file or folder does not exist.
    """

    fps = 0.0

    def __init__(
        self, path: str | Path, member: str = '', *, one_size: bool = True
    ) -> None:
        self.path = Path(path)
        self.notes: list[str] = []
        self._one_size = False
        images: Mapping[str, Path | bytes]
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
            raise VideoError('unreadable', f'{self.names[0]} is not an image')
        self.height, self.width = first.shape[:2]
        self._one_size = one_size

    def _read(self, index: int) -> np.ndarray | None:
        image = self._images[index]
        if isinstance(image, Path):
            if image.exists() and not (image.is_file() or image.is_dir()):
                # a device may have no end
                raise VideoError('unreadable', f'{image.name}: is a device')
            image = image.read_bytes()
        if image and _is_image(self.names[index], image):
            frame = cv2.imdecode(
                np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR
            )
            if frame is not None:
                return self._fit(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        self.broken_at = index
        return None

    def _fit(self, frame: np.ndarray) -> np.ndarray:
        if not self._one_size or frame.shape[:2] == (self.height, self.width):
            return frame
        if SIZES_DIFFER not in self.notes:
            self.notes.append(SIZES_DIFFER)
        return cv2.resize(
            frame, (self.width, self.height), interpolation=cv2.INTER_LINEAR
        )


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key: numbers in a name count by value."""
    parts = re.findall(r'\d+|\D+', name)
    return [
        (int(part), '') if part.isdecimal() else (-1, part) for part in parts
    ]


def _list_folder(folder: Path) -> dict[str, Path]:
    return {
        path.name: path for path in folder.iterdir() if is_image(path.name)
    }


def _is_image(name: str, image: bytes) -> bool:
    """Look at an image's header, before it is decoded.

    Raises:
        VideoError: It is too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with Image.open(io.BytesIO(image)) as header:
                width, height = header.size
    except Image.DecompressionBombError:
        width = height = 10**6
    except Exception:  # Pillow has many
        return False
    check_pixels(name, width, height)
    return not image.startswith(PNG) or _chunks_fit(image)


def _chunks_fit(png: bytes) -> bool:
    """Whether each chunk of a PNG has a length that the file can hold.

    OpenCV trusts the length, and may take 2 GB for a file of 100 bytes.
    """
    place = len(PNG)
    while place < len(png) and png[place + 4 : place + 8] != b'IEND':
        place += 12 + int.from_bytes(png[place : place + 4], 'big')
    return place + 8 <= len(png)


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Read a file of an archive, up to the size that its entry states."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # a few bytes of bzip2 or LZMA may unpack to any size
        raise VideoError(
            'unreadable',
            'not an archive of images, stored or deflated. Remedy: pack it '
            'again',
        )
    with archive.open(member) as file:
        return file.read(member.file_size)


def _read_archive(path: Path, folder: PurePosixPath) -> dict[str, bytes]:
    """Return the bytes of the images directly in a folder of an archive."""

    def wanted(name: str) -> bool:
        inner = PurePosixPath(name)
        return inner.parent == folder and is_image(inner.name)

    images, budget = {}, Budget()
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as zipped:
                members = [m for m in zipped.infolist() if wanted(m.filename)]
                # never read more than the size in the entry
                budget.take(sum(member.file_size for member in members))
                for member in members:
                    name = PurePosixPath(member.filename).name
                    images[name] = _read_member(zipped, member)
            return images
        with tarfile.open(path) as archive:
            for entry in archive:
                if entry.isfile() and wanted(entry.name):
                    budget.take(entry.size)
                    file = archive.extractfile(entry)
                    assert file is not None  # as for every regular file
                    images[PurePosixPath(entry.name).name] = file.read()
    except (FileNotFoundError, VideoError):
        raise
    except Exception:  # damaged archives, and their compression, raise many
        raise VideoError(
            'unreadable', 'not an archive, or a broken one'
        ) from None
    return images
