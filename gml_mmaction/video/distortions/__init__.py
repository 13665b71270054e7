"""DeeperForensics-1.0's seven distortions at five levels, seeded; and others.

A distortion is a pair (type, level). The parameters in :data:`LEVELS` and
their use follow the data set's own program
(https://github.com/EndlessSora/DeeperForensics-1.0, ``perturbation/``),
quirks included, since its videos were made by it; each function names its
quirks. Differences: that program draws positions and noise without a seed and
holds a whole video in memory.

Six types work on a frame and ``VC`` on a video. Those with chance in them
take it from (seed, index of the frame, position in the list), so that one
frame alone comes out as it does in the whole video. Apply them to whole
frames, before faces are cut out: their scale is that of the video.

A further type is one module in this folder, with one function under
:func:`register_distortion`.

Frames are RGB, uint8, (H, W, 3), and are never changed in place.
"""

import hashlib
import importlib
import pkgutil
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.io.files import read_text, write_text
from gml_mmaction.stack import require
from gml_mmaction.video.writer import write_h264

__all__ = [
    'BLOCKS_FROM',
    'DEEPER_FORENSICS',
    'LEVELS',
    'VARIANTS',
    'Distortion',
    'blocks',
    'blur',
    'check_distortions',
    'compress',
    'contrast',
    'distort_frame',
    'distort_frames',
    'format_distortions',
    'is_framewise',
    'noise',
    'parse_distortions',
    'pixelate',
    'random_distortions',
    'read_meta',
    'register_distortion',
    'saturation',
    'seed_of',
    'write_meta',
]

Distortion = tuple[str, int]

# By type, the parameter at levels 1 to 5.
LEVELS: dict[str, tuple[float, ...]] = {
    'CS': (0.4, 0.3, 0.2, 0.1, 0.0),
    'CC': (0.85, 0.725, 0.6, 0.475, 0.35),
    'BW': (16, 32, 48, 64, 80),
    'GNC': (0.001, 0.002, 0.005, 0.01, 0.05),
    'GB': (7, 9, 13, 17, 21),
    'JPEG': (2, 3, 4, 5, 6),
    'VC': (30, 32, 35, 38, 40),
}
DEEPER_FORENSICS = tuple(LEVELS)  # before others are registered
# The data set's distorted variants, without 'end_to_end_' before the name
# and '_distortions' behind it.
VARIANTS = (
    *(f'level_{level}' for level in range(1, 6)),
    'random_level',
    *(f'mix_{count}' for count in (2, 3, 4)),
)
BLOCK = 8  # pixels
BLOCKS_FROM = 256  # shorter side in pixels; type BW adds no block below
# OpenCV's coefficients, which are not quite each other's inverse.
_TO_YCBCR = np.array(
    [
        [0.299, 0.587, 0.114],
        np.subtract([0, 0, 1], [0.299, 0.587, 0.114]) * 0.564,
        np.subtract([1, 0, 0], [0.299, 0.587, 0.114]) * 0.713,
    ]
)
_TO_RGB = np.array([[1, 0, 1.403], [1, -0.344, -0.714], [1, 1.773, 0]])
_STUDIO = np.array([219, 224, 224])  # range of Y, Cb, Cr in 8-bit video


def saturation(frame: np.ndarray, factor: float) -> np.ndarray:
    """Type CS: scale the two color differences of YCbCr by ``factor``.

    The program scales them about 0.5 where its gray is at 128/255. That is
    0.002 of a level, but digits are cut off, so most grays lose a level in
    red and blue; it is kept.

    Args:
        frame: (H, W, 3).
        factor: 0 (gray) to 1.
    """
    scale = np.diag([1, factor, factor])
    miss = (factor - 1) * np.array([0, 0.5, 0.5]) / _STUDIO
    matrix = np.column_stack(
        [_TO_RGB @ scale @ _TO_YCBCR, _TO_RGB @ miss]
    ).astype(np.float32)
    return _truncated(cv2.transform(frame.astype(np.float32), matrix))


def contrast(frame: np.ndarray, factor: float) -> np.ndarray:
    """Type CC: multiply every value by ``factor`` and cut off the digits.

    This darkens; the mean is not kept, as a change of contrast would.

    Args:
        frame: (H, W, 3).
        factor: 0 to 1.
    """
    table = np.arange(256, dtype=np.float32) * np.float32(factor)
    return cv2.LUT(frame, table.astype(np.uint8))


def blocks(
    frame: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Type BW: put 8x8 blocks of gray 128 at random places.

    They may overlap, and never reach the last row and column of the frame.

    Args:
        frame: (H, W, 3).
        count: Number of blocks for every whole 256 pixels of the shorter
            side, so that 1080 x 1920 has 4 * count.
        rng: Draws the places.

    Raises:
        SettingError: The shorter side is below 256, where the data set's
            program adds no block at all.
    """
    height, width = frame.shape[:2]
    count *= min(height, width) // BLOCKS_FROM
    if not count:
        raise SettingError(
            f'distortion BW does nothing to a frame of {width} x {height}: '
            f'its shorter side is below {BLOCKS_FROM} pixels. Remedy: '
            'distort whole frames, before faces are cut out'
        )
    frame = frame.copy()
    left = rng.integers(0, width - BLOCK, count)
    top = rng.integers(0, height - BLOCK, count)
    for x, y in zip(left, top):
        frame[y : y + BLOCK, x : x + BLOCK] = 128
    return frame


def noise(
    frame: np.ndarray, variance: float, rng: np.random.Generator
) -> np.ndarray:
    """Type GNC: add white Gaussian noise to Y, Cb and Cr.

    The program holds them in the ranges of 8-bit video (219 and 224 of 255)
    but divides by 255 twice on the way in, so that the way back widens the
    noise by 255/219 and 255/224: on mid-gray the luma's standard deviation
    is 297 * sqrt(variance), less what is clipped.

    Args:
        frame: (H, W, 3).
        variance: On a scale where 255 is 1.
        rng: Draws the noise, new in every pixel and channel.
    """
    mixing = _TO_RGB * (255 * np.sqrt(variance) * 255 / _STUDIO)
    added = cv2.transform(
        rng.standard_normal(frame.shape, np.float32),
        mixing.astype(np.float32),
    )
    return _truncated(np.clip(added + frame, 0, 255))


def blur(frame: np.ndarray, kernel: int) -> np.ndarray:
    """Type GB: Gaussian blur, standard deviation ``kernel`` / 6.

    Args:
        frame: (H, W, 3).
        kernel: Side of the kernel in pixels, odd; half of it is the reach.
    """
    return cv2.GaussianBlur(frame, (kernel, kernel), kernel / 6)


def pixelate(frame: np.ndarray, factor: int) -> np.ndarray:
    """Type JPEG, which is not JPEG: scale down by ``factor`` and back.

    Both ways are bilinear without a filter before, so the way down reads
    only the one (odd factors) or four pixels (even) in the middle of every
    square, and the way back is smooth.

    Args:
        frame: (H, W, 3), at least ``factor`` pixels on either side.
        factor: 1 or more.
    """
    height, width = frame.shape[:2]
    small = cv2.resize(frame, (width // factor, height // factor))
    return cv2.resize(small, (width, height))


def compress(
    frames: Iterable[np.ndarray],
    crf: int,
    *,
    fps: float,
    preset: str = 'medium',
) -> Iterator[np.ndarray]:
    """Type VC: encode a video with x264 at ``crf`` and decode it.

    The coded video is in a temporary file without a name, so nothing is left
    behind. Only the frames that x264 looks ahead are in memory.

    Args:
        frames: (H, W, 3) each, all of one size.
        crf: x264's constant rate factor, 0 (lossless) to 51.
        fps: Frames per second, on which x264's choices depend; 0 where
            unknown, which means 25.
        preset: x264's; the data set's is the default.

    Yields:
        As many frames as there were.

    Raises:
        SettingError: No frames, or frames of several sizes.
        ImportError: PyAV is missing.
    """
    av = require('av')
    with tempfile.TemporaryFile() as file:
        write_h264(
            file,
            frames,
            fps=fps,
            crf=crf,
            container='matroska',
            preset=preset,
        )
        file.seek(0)
        with av.open(file) as video:
            for frame in video.decode(video=0):
                yield _rgb(frame.reformat(format='yuv444p').to_ndarray())


_FRAMEWISE: dict[str, Callable[..., np.ndarray]] = {
    'CS': saturation,
    'CC': contrast,
    'BW': blocks,
    'GNC': noise,
    'GB': blur,
    'JPEG': pixelate,
}
_SEEDED = {'BW', 'GNC'}


def register_distortion(
    kind: str, levels: Sequence[float], *, seeded: bool = False
) -> Callable[[Callable[..., np.ndarray]], Callable[..., np.ndarray]]:
    """Make the decorated function a type of distortion that works on frames.

    The function gets a frame, (H, W, 3), and the parameter of the level, and
    returns a frame of the same shape.

    Args:
        kind: Letters and digits, as in meta files: ``'GB'``.
        levels: The parameter at levels 1 to 5.
        seeded: Whether the function draws: its third argument is then a
            NumPy generator, another for each frame.

    Raises:
        SettingError: The type exists, its name has other characters, or there
            are not five levels.
    """
    if kind in LEVELS or not re.fullmatch(r'[A-Za-z0-9]+', kind):
        raise SettingError(
            f'distortion {kind!r}: the name is taken, or not of letters and '
            'digits alone. Remedy: another name'
        )
    if len(levels) != 5:
        raise SettingError(
            f'distortion {kind}: {len(levels)} levels. Remedy: a parameter '
            'for each of the levels 1 to 5'
        )

    def add(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        LEVELS[kind] = tuple(levels)
        _FRAMEWISE[kind] = function
        if seeded:
            _SEEDED.add(kind)
        return function

    return add


def distort_frame(
    frame: np.ndarray,
    distortions: Sequence[Distortion],
    *,
    seed: int,
    index: int,
) -> np.ndarray:
    """Apply distortions to one frame of a video, in the order given.

    Args:
        frame: (H, W, 3).
        distortions: Of the types that work on frames.
        seed: The video's seed, 0 or more; see :func:`seed_of`.
        index: The frame's place in the video.

    Returns:
        (H, W, 3): what :func:`distort_frames` yields at ``index``.

    Raises:
        SettingError: ``VC`` is among the distortions, a type or level is
            unknown, or ``BW`` meets a frame below 256 pixels.
    """
    if not is_framewise(distortions):
        raise SettingError(
            'distortion VC needs a whole video, not single frames. Remedy: '
            'distort_frames or gml distort'
        )
    for position, distortion in enumerate(distortions):
        frame = _apply(frame, distortion, (seed, index, position))
    return frame


def distort_frames(
    frames: Iterable[np.ndarray],
    distortions: Sequence[Distortion],
    *,
    seed: int,
    fps: float,
) -> Iterator[np.ndarray]:
    """Apply distortions of any type to the frames of a video.

    Args:
        frames: (H, W, 3) each, consecutive, from the video's first.
        distortions: Applied in the order given.
        seed: The video's, 0 or more; see :func:`seed_of`.
        fps: Frames per second, for ``VC``; 0 where unknown.

    Returns:
        An iterator of as many frames, (H, W, 3). It reads on in ``frames``
        as it is read, except that ``VC`` reads them all before the first.

    Raises:
        SettingError: A type or level is unknown; while iterating, as
            :func:`blocks` and :func:`compress` do.
    """
    check_distortions(distortions)
    frames = iter(frames)
    for position, (kind, level) in enumerate(distortions):
        if kind == 'VC':
            frames = compress(frames, int(LEVELS[kind][level - 1]), fps=fps)
        else:
            frames = _apply_to_all(frames, (kind, level), seed, position)
    return frames


def is_framewise(distortions: Iterable[Distortion]) -> bool:
    """Whether any frame can be distorted without the others of its video.

    Raises:
        SettingError: A type or level is unknown.
    """
    return all(kind != 'VC' for kind, _ in check_distortions(distortions))


def seed_of(name: str, seed: int = 0) -> int:
    """Return the seed of the video called ``name``, 0 to 2**64 - 1.

    The same on every machine and in every process, unlike ``hash``.

    Args:
        name: The video's id.
        seed: The experiment's.
    """
    digest = hashlib.sha256(f'{seed} {name}'.encode()).digest()
    return int.from_bytes(digest[:8], 'big')


def random_distortions(
    variant: str, rng: np.random.Generator
) -> tuple[Distortion, ...]:
    """Draw what a video of a variant of the data set undergoes.

    The data set's own draws are in its meta files (:func:`read_meta`). It
    does not say whether the types of a mix are distinct; here they are.

    Args:
        variant: ``'level_1'`` to ``'level_5'``: one type, at that level;
            ``'random_level'``: one type at any level; ``'mix_2'`` to
            ``'mix_4'``: so many types in any order, each at any level.
        rng: Draws every type, and every level, with equal chances.

    Raises:
        SettingError: Unknown variant.
    """
    if variant not in VARIANTS:
        raise SettingError(
            f'unknown variant {variant!r}. Remedy: one of '
            f'{", ".join(VARIANTS)}'
        )
    word, _, number = variant.partition('_')
    count = int(number) if word == 'mix' else 1
    kinds = rng.choice(DEEPER_FORENSICS, count, replace=False)
    if word == 'level':
        return ((str(kinds[0]), int(number)),)
    return tuple((str(kind), int(rng.integers(1, 6))) for kind in kinds)


def check_distortions(
    distortions: Iterable[Distortion],
) -> tuple[Distortion, ...]:
    """Return the distortions if all of them exist.

    Raises:
        SettingError: A type or level is unknown.
    """
    distortions = tuple(distortions)
    for kind, level in distortions:
        if kind not in LEVELS or level not in range(1, 6):
            raise SettingError(
                f'unknown distortion {kind}:{level}. Remedy: the types '
                f'{", ".join(LEVELS)} with the levels 1 to 5'
            )
    return distortions


def parse_distortions(text: str) -> tuple[Distortion, ...]:
    """Read distortions as the data set's meta files have them.

    Args:
        text: ``'CS:3 GB:1'``; an empty text means none.

    Returns:
        ``(('CS', 3), ('GB', 1))``, in the order applied.

    Raises:
        SettingError: The text is not of this form.
    """
    words = text.split()
    found = [re.fullmatch(r'(\w+):(\d)', word) for word in words]
    pairs = [(pair[1], int(pair[2])) for pair in found if pair]
    if len(pairs) < len(words):
        raise SettingError(
            f'{text!r:.80} is not a list of distortions. Remedy: write it '
            'as in CS:3 GB:1'
        )
    return check_distortions(pairs)


def format_distortions(distortions: Iterable[Distortion]) -> str:
    """Write distortions as :func:`parse_distortions` reads them."""
    return ' '.join(f'{kind}:{level}' for kind, level in distortions)


def read_meta(path: str | Path) -> dict[str, tuple[Distortion, ...]]:
    """Read a meta file of the data set.

    Args:
        path: Of a file with lines ``<path of a video> TYPE:LEVEL ...``.

    Returns:
        The distortions of each video, in the order applied, by its path as
        the file has it.

    Raises:
        SettingError: A line is not of this form.
    """
    distortions = {}
    lines = read_text(path).splitlines()
    for number, line in enumerate(lines, 1):
        # from the right: a path may have blanks
        match = re.fullmatch(r'(.*?)((?:\s+\S+:\S+)*)\s*', line)
        assert match  # every line does
        name, words = match.groups()
        try:
            if name:
                distortions[name] = parse_distortions(words)
        except ValueError as error:
            raise DataError(f'{path}, line {number}: {error}') from error
    return distortions


def write_meta(
    path: str | Path, distortions: Mapping[str, Iterable[Distortion]]
) -> None:
    """Write what :func:`read_meta` reads, whole or not at all."""
    lines = [
        f'{name} {format_distortions(of)}'.rstrip() + '\n'
        for name, of in distortions.items()
    ]
    write_text(path, ''.join(lines))


def _apply(
    frame: np.ndarray, distortion: Distortion, seeds: tuple[int, ...]
) -> np.ndarray:
    kind, level = distortion
    parameter = LEVELS[kind][level - 1]
    if kind in _SEEDED:
        rng = np.random.default_rng(seeds)
        return _FRAMEWISE[kind](frame, parameter, rng)
    return _FRAMEWISE[kind](frame, parameter)


def _apply_to_all(
    frames: Iterable[np.ndarray],
    distortion: Distortion,
    seed: int,
    position: int,
) -> Iterator[np.ndarray]:
    for index, frame in enumerate(frames):
        yield _apply(frame, distortion, (seed, index, position))


def _rgb(planes: np.ndarray) -> np.ndarray:
    """Convert (3, H, W) of 8-bit video to (H, W, 3), rounded.

    FFmpeg's own quick conversion is a level too dark on average. Readers of
    video files have that once; with it here, VC would have it twice.
    """
    matrix = _TO_RGB * (255 / _STUDIO)
    matrix = np.column_stack([matrix, matrix @ [-16, -128, -128]])
    pixels = np.ascontiguousarray(planes.transpose(1, 2, 0))
    return cv2.transform(pixels, matrix.astype(np.float32))


def _truncated(frame: np.ndarray) -> np.ndarray:
    """Cut off the digits of float values, as the data set's program does."""
    return frame.astype(np.uint8)


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f'{__name__}.{_module.name}')
