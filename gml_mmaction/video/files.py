"""Which files are videos, images and archives of images, by their names."""

from pathlib import Path, PurePath

__all__ = [
    'ARCHIVES',
    'IMAGE_SUFFIXES',
    'VIDEO_SUFFIXES',
    'is_image',
    'is_video',
    'unread_format',
]

VIDEO_SUFFIXES = frozenset(
    f'.{kind}'
    for kind in (
        *('3g2', '3gp', 'amv', 'asf', 'avi', 'divx', 'dv', 'f4v', 'flv'),
        *('gif', 'ivf', 'm1v', 'm2t', 'm2ts', 'm2v', 'm4v', 'mjpeg', 'mjpg'),
        *('mkv', 'mod', 'mov', 'mp4', 'mpe', 'mpeg', 'mpg', 'mts', 'mxf'),
        *('nut', 'ogm', 'ogv', 'qt', 'rm', 'rmvb', 'tod', 'trp', 'ts', 'vob'),
        *('webm', 'wmv', 'wtv', 'y4m', '264', 'h264', '265', 'h265', 'hevc'),
    )
)
IMAGE_SUFFIXES = frozenset({'.bmp', '.jpeg', '.jpg', '.png', '.webp'})
ARCHIVES = ('.zip', '.tar', '.tgz', '.tar.gz', '.tar.bz2', '.tar.xz')


def is_image(name: str) -> bool:
    """Whether a file name is that of an image, as sequences read them."""
    suffix = PurePath(name).suffix.lower()
    return suffix in IMAGE_SUFFIXES and not name.startswith('.')


def is_video(path: str | Path) -> bool:
    """Whether a file is a video or an archive, by its suffix.

    A folder counts too, as it may hold images; a missing path does not.
    """
    path = Path(path)
    suffixes = (*VIDEO_SUFFIXES, *ARCHIVES)
    named = path.name.lower().endswith(suffixes)
    return path.is_dir() or (named and path.is_file())


def unread_format(path: str | Path) -> str | None:
    """The name of a format of moving pictures that is not read, by its data.

    None for all other files.
    """
    if not Path(path).is_file():
        return None
    try:
        with open(path, 'rb') as file:
            data = file.read(4096).ljust(64, b'\0')
    except OSError:
        return None
    if data[:4] == b'RIFF' and data[8:16] == b'WEBPVP8X' and data[20] & 2:
        return 'an animated WebP'
    if data[:8] == b'\x89PNG\r\n\x1a\n' and b'acTL' in data:
        return 'an animated PNG'
    if data[:8] == b'\x8aMNG\r\n\x1a\n':
        return 'an MNG animation'
    if data[:3] in (b'FWS', b'CWS', b'ZWS'):
        return 'a Flash animation'
    return None
