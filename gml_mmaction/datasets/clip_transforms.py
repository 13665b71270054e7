"""From an entry of :class:`FaceClipDataset` to a clip of face crops.

    ClipDecode -> [DistortClip] -> FaceCrop

The same pipeline reads both stores. Saved crops are images that were cut out
when the data were prepared; of boxes, the full frames are decoded here and
cut here. For both to give the same pixels there must be one reader, one crop
and one set of distortions: hence this module uses those of
:mod:`gml_mmaction.faces` and :mod:`gml_mmaction.video`, which load the decoder
when the first video is opened.

Images are RGB, uint8, (H, W, 3); a clip is a list of them.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.faces.square import Square, crop, resize
from gml_mmaction.video import Frames, VideoError, open_video
from gml_mmaction.video.distortions import (
    Distortion,
    distort_frame,
    is_framewise,
    parse_distortions,
    seed_of,
)

_AGAIN = 'Remedy: run gml prepare again, which adds what is missing'


@TRANSFORMS.register_module()
class ClipDecode(BaseTransform):
    """Read the frames of a clip: saved crops, or full frames of a video.

    Full frames get the entry's own ``distortions`` (DeeperForensics'
    reals), with the noise that preparation as saved crops would give them.

    The last video stays open: the next clip of it is read on from there, as
    testing takes the clips of a video one after the other. A clip anywhere
    in a video, as in training, is decoded from the key frame before it, which
    takes several times as long.

    Reads ``frame_inds``; ``frame_dir`` and ``filename_tmpl``, or ``video``;
    ``start`` and ``stride``, or ``frames``. Adds ``imgs``, ``img_shape``,
    ``original_shape`` and ``source_inds``, the clip's frames as numbered in
    the video.

    Raises:
        FileNotFoundError: A saved crop is missing.
        DataError: It is not an image.
        SettingError: It is given a video, as by the host's
            ``inference_recognizer``, which finds no faces.
        VideoError: The decoder does not give a frame; the message names the
            video.
    """

    def __init__(self) -> None:
        # By process: a forked one inherits its parent's open video, which it
        # must not read on (they share the place in the file).
        self._opened: dict[int, tuple[tuple[str, str, bool], Frames]] = {}

    def __getstate__(self) -> dict:
        """Leave the open video behind when copied or pickled."""
        return {**self.__dict__, '_opened': {}}

    def transform(self, results: dict) -> dict:
        """Add the clip's images to ``results``."""
        if 'frame_inds' not in results:
            raise SettingError(
                'ClipDecode reads prepared faces, not whole videos. '
                'Remedy: '
                'gml_mmaction.apis.ForgeryInferencer(CHECKPOINT)(VIDEO), '
                'or gml predict'
            )
        inds = np.asarray(results['frame_inds'])
        if 'frames' in results:  # taken by time
            results['source_inds'] = np.asarray(results['frames'])[inds]
        else:
            first, stride = results['start'], results['stride']
            results['source_inds'] = first + stride * inds
        read = self._from_video if 'video' in results else self._from_folder
        results['imgs'] = read(results)
        shape = results['imgs'][0].shape[:2]
        results['original_shape'] = results['img_shape'] = shape
        return results

    def _from_folder(self, results: dict) -> list[np.ndarray]:
        folder, template = results['frame_dir'], results['filename_tmpl']
        return [
            _read_image(os.path.join(folder, template.format(i)))
            for i in results['frame_inds']
        ]

    def _from_video(self, results: dict) -> list[np.ndarray]:
        path, inds = results['video'], results['source_inds'].tolist()
        try:
            crops = results.get('square') is None
            reader = self._open(path, results.get('member', ''), not crops)
            frames = reader.frames_at(inds)
        except VideoError as error:
            self._opened.pop(os.getpid(), None)
            raise VideoError(
                error.reason, f'{path}, frames {inds}: {error.detail}'
            ) from error
        seed = seed_of(results['video_id'])
        return _distort(frames, inds, _own(results), seed=seed)

    def _open(self, path: str, member: str, one_size: bool) -> Frames:
        opened, reader = self._opened.get(os.getpid(), (None, None))
        asked = path, member, one_size
        if reader is None or opened != asked:
            reader = open_video(path, member, one_size=one_size)
            self._opened[os.getpid()] = asked, reader
        return reader


@TRANSFORMS.register_module()
class DistortClip(BaseTransform):
    """Degrade a clip as DeeperForensics does; belongs before ``FaceCrop``.

    Of boxes it degrades the full frames, as the data set's authors did. Saved
    crops were resized and cut before: a blur there spans another part of the
    face, and blocks ('BW') never appear below 256 pixels, which is an error.

    The noise follows from the video and the number of the frame, so that it
    is the same in every run and that of data prepared with these distortions.

    Args:
        distortions: ``'GNC:3'``, ``'CS:3 GB:1'`` or a list of such, in the
            order applied: types and levels of
            :mod:`gml_mmaction.video.distortions`.

    Raises:
        SettingError: An unknown type or level; 'VC', which re-encodes whole
            files; when called, 'BW' on images too small for it, or full
            frames that ``FaceCrop`` has cut already.
    """

    def __init__(self, distortions: str | Sequence[str]) -> None:
        self.distortions = _framewise(distortions)

    def transform(self, results: dict) -> dict:
        """Replace ``results['imgs']``."""
        # An entry may have noise already; a second one must differ.
        seed = seed_of(results['video_id'], len(_own(results)))
        return _distort_clip(results, self.distortions, seed=seed)


@TRANSFORMS.register_module()
class RandomDistortClip(BaseTransform):
    """One random distortion of a clip, for training; before ``FaceCrop``.

    All frames of a clip share type and level. Draws come from NumPy's global
    state, which MMEngine seeds in every worker.

    Paper: silent on augmentation; off unless a config asks for it.

    Args:
        p: Probability that a clip is degraded at all.
        types: To choose from. Add 'BW' for boxes only; see
            :class:`DistortClip`.
        levels: To choose from, 1 to 5.

    Raises:
        SettingError: As :class:`DistortClip`, or ``p`` is not a probability.
    """

    def __init__(
        self,
        p: float = 0.5,
        types: Sequence[str] = ('CS', 'CC', 'GNC', 'GB', 'JPEG'),
        levels: Sequence[int] = (1, 2, 3, 4, 5),
    ) -> None:
        if not 0 <= p <= 1:
            raise SettingError(f'p={p}: use a probability from 0 to 1')
        self.p = p
        self.choices = _framewise([f'{t}:{n}' for t in types for n in levels])
        if not self.choices:
            raise SettingError(
                f'types={types}, levels={levels}: use at least one of each'
            )

    def transform(self, results: dict) -> dict:
        """Replace ``results['imgs']`` with probability ``p``."""
        if np.random.rand() >= self.p:
            return results
        chosen = self.choices[np.random.randint(len(self.choices))]
        return _distort_clip(results, [chosen], seed=np.random.randint(2**31))


@TRANSFORMS.register_module()
class FaceCrop(BaseTransform):
    """Cut the face's square out of full frames and resize it.

    Saved crops are the square already: they are resized, by the same rule,
    where they have another size.

    Args:
        size: Side of the crop in pixels (paper: 224).
    """

    def __init__(self, size: int = 224) -> None:
        if size < 1:
            raise SettingError(f'size={size}: use 1 or more pixels')
        self.size = size

    def transform(self, results: dict) -> dict:
        """Replace ``results['imgs']`` by images (size, size, 3)."""
        square = results.pop('square', None)
        if square is None:
            imgs = [resize(img, self.size) for img in results['imgs']]
        else:
            square = Square(*square)
            imgs = [crop(img, square, self.size) for img in results['imgs']]
        results['imgs'] = imgs
        results['img_shape'] = (self.size, self.size)
        return results


def _framewise(distortions: str | Sequence[str]) -> tuple[Distortion, ...]:
    if not isinstance(distortions, str):
        distortions = ' '.join(distortions)
    parsed = parse_distortions(distortions)
    if not is_framewise(parsed):
        raise SettingError(
            f'{distortions!r} holds VC, which re-encodes whole files and '
            'cannot distort a clip. Remedy: gml distort or gml robustness'
        )
    return parsed


def _own(results: dict) -> tuple[Distortion, ...]:
    """Distortions that the data set's own lists give the video."""
    return parse_distortions(results.get('distortions', ''))


def _distort_clip(
    results: dict, distortions: Sequence[Distortion], *, seed: int
) -> dict:
    if 'video' in results and 'square' not in results:
        raise SettingError(
            'the pipeline distorts after FaceCrop. Remedy: distort the '
            'full frames, before FaceCrop'
        )
    results['imgs'] = _distort(
        results['imgs'], results['source_inds'], distortions, seed=seed
    )
    return results


def _distort(
    imgs: Iterable[np.ndarray],
    source_inds: Iterable[int],
    distortions: Sequence[Distortion],
    *,
    seed: int,
) -> list[np.ndarray]:
    return [
        distort_frame(img, distortions, seed=seed, index=int(i))
        for img, i in zip(imgs, source_inds)
    ]


def _read_image(path: str) -> np.ndarray:
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} is missing. {_AGAIN}') from None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), 1) if data else None
    if image is None:
        raise DataError(f'{path} is not an image. {_AGAIN}')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
