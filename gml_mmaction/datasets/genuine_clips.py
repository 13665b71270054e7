"""Pairs of a genuine clip and a fake made of it."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.dataset import BaseDataset, Compose

from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.io.text import counted
from gml_mmaction.video.distortions import seed_of

from .clip_transforms import FaceCrop
from .face_clips import FaceClipDataset
from .samplers import DrawnIndex, seeded

__all__ = ['GenuineClipDataset', 'Pair']


class Pair(NamedTuple):
    """A genuine clip and its fake, as the pipeline leaves them.

    Attributes:
        real: What the pipeline returns of it.
        fake: Likewise.
        family: Of the fake.
        change: What of the fake is seen: the mean absolute difference inside
            its mask behind the pipeline, grey levels, in the frame where it is
            largest.
        redrawn: How often the fake was drawn again.
    """

    real: dict
    fake: dict
    family: str
    change: float
    redrawn: int


@DATASETS.register_module()
class GenuineClipDataset(FaceClipDataset):
    """Genuine clips, each followed by a pseudo-fake of it.

    Items 2i and 2i + 1 are a genuine clip and a fake of it
    (:mod:`gml_mmaction.synthetic.pseudo_fakes`), labels 0 and 1. The fake is
    made behind ``FaceCrop``, where a swap would have been blended in. What
    the pipeline does before is done once; what it does behind is done to both
    with the same random draws: mirroring, colour, noise, codecs. So nothing
    tells them apart but the fake's own trace. Fakes of the annotation are left
    out. Where the annotation has landmarks, fakes follow them.

    In training, ``PairSampler`` draws both under one number, and the pair is
    made once. In testing each clip is in a pair for every family whose weight
    is not 0, and the draws follow from the video and the number of the clip,
    so that every run validates on the same fakes. Each fake is a video of its
    own, called ``VIDEO+FAMILY``, with the family as its method; the genuine
    one to tell it from is ``VIDEO~FAMILY``, as families may change both.

    A fake that nobody sees would be a wrong label: if it changes less than
    ``visible`` it is drawn again, at most ``redraws`` times; then the one that
    changes most stays. The samples of a pair carry ``change`` and ``redrawn``
    as metainfo.

    Args:
        families: Settings of the families, of which one is drawn for a clip.
        weights: Of each family, in any unit; equal ones by default.
        visible: The least ``change`` (:class:`Pair`) of a fake.
        redraws: How often to draw again.
        **kwargs: Arguments of ``FaceClipDataset``.

    Raises:
        DataError: As ``FaceClipDataset``, or no track is genuine.
        SettingError: No families, weights that do not fit, or a pipeline
            without ``FaceCrop``.
    """

    def __init__(
        self,
        *args: Any,
        families: Sequence[dict],
        weights: Sequence[float] | None = None,
        visible: float = 1.0,
        redraws: int = 4,
        **kwargs: Any,
    ) -> None:
        weights = [1.0] * len(families) if weights is None else [*weights]
        if (
            not families
            or len(weights) != len(families)
            or min(weights) < 0
            or not sum(weights)
        ):
            raise SettingError(
                f'weights={weights}: give one for each of the '
                f'{len(families)} families, 0 or more'
            )
        if visible < 0 or redraws < 0:
            raise SettingError(
                f'visible={visible}, redraws={redraws}: use 0 or more'
            )
        self.families = [TRANSFORMS.build(family) for family in families]
        self.shares = np.divide(weights, sum(weights))
        self.visible = visible
        self.redraws = redraws
        self._kept: tuple[Any, dict[int, dict]] = (None, {})
        super().__init__(*args, **kwargs)
        steps = self.pipeline.transforms
        cuts = [i for i, s in enumerate(steps, 1) if isinstance(s, FaceCrop)]
        if not cuts:
            raise SettingError(
                'pipeline: no FaceCrop, behind which fakes are made. Remedy: '
                "dict(type='FaceCrop', size=224)"
            )
        self.before = Compose(steps[: cuts[-1]])
        self.behind = Compose(steps[cuts[-1] :])

    def _read_annotation(self) -> list[dict]:
        genuine = [e for e in super()._read_annotation() if not e['label']]
        if not genuine:
            raise DataError(
                f'{self.ann_file}: no genuine video, of which to make fakes. '
                'Remedy: prepare genuine videos for this split'
            )
        return genuine

    def load_data_list(self) -> list[dict]:
        """Each track or, by family, each clip twice: genuine and fake."""
        families: Sequence[int | None] = [None]  # one is drawn
        if self.test_mode:
            families = np.flatnonzero(self.shares).tolist()
        return [
            dict(
                clip,
                family=family,
                label=label,
                pair=f'{clip["video_id"]}/{clip["track"]}',
            )
            for clip in super().load_data_list()
            for family in families
            for label in (0, 1)
        ]

    @property
    def origin(self) -> str:
        """What a detector was trained on, to follow 'trained on'."""
        entries = (
            BaseDataset.get_data_info(self, number)  # without a draw
            for number in range(len(self))
        )
        ids = {entry['video_id'] for entry in entries}
        words = (
            f'pseudo-fakes of {counted(len(ids), "genuine video")}, no real '
            'forgery'
        )
        more = self.metainfo.get('origin')
        return f'{words} (the videos: {more})' if more else words

    def __getitem__(self, idx: int) -> dict:
        """Item ``idx``; a numbered draw is seeded under any runner."""
        if not isinstance(idx, DrawnIndex):
            return super().__getitem__(idx)
        with seeded(idx.seed, idx.number):
            return super().__getitem__(int(idx))

    def get_data_info(self, idx: int) -> dict:
        """The entry, with ``points`` where there are landmarks.

        These are ``(clip_len, points, 2)``, x and y in sides of the crop.

        Raises:
            DataError: They are missing, or are not those of the crops.
        """
        info = super().get_data_info(idx)
        if 'landmarks' in info:
            path = os.path.join(self.data_root, info['landmarks'])
            info['points'] = _read_points(path, info)
        return info

    def prepare_data(self, idx: int) -> dict:
        """What the pipeline makes of item ``idx``."""
        if not self.test_mode:
            return self._member(self.get_data_info(idx))
        info = self.get_data_info(idx)
        name = f'{info["video_id"]} {info["track"]} {info["clip_index"]}'
        with seeded(seed_of(name)):
            return self._member(info)

    def make_pair(self, info: dict) -> Pair:
        """Make an entry's genuine clip and its fake.

        Args:
            info: An entry, as of ``get_data_info``. Draws come from the
                global state.
        """
        seed = int(np.random.randint(2**62))
        number = np.random.choice(len(self.families), p=self.shares)
        if info['family'] is not None:
            number = info['family']
        family = self.families[number]
        clip = self.before(dict(info))
        best: Pair | None = None
        for redrawn in range(self.redraws + 1):
            with seeded(seed, 0, redrawn):
                made = family(dict(clip))
            pair = self._finish_pair(clip, made, seed)
            if best is None or pair.change > best.change:
                best = pair
            if best.change >= self.visible:
                break
        assert best is not None  # redraws is 0 or more
        return best._replace(redrawn=redrawn)

    def _finish_pair(self, clip: dict, made: dict, seed: int) -> Pair:
        area = 3 * np.count_nonzero(made.pop('mask'), axis=(1, 2)).clip(1)
        genuine, family = made.pop('genuine'), made['method']
        name = clip['video_id']
        ids = dict(video_id=f'{name}~{family}', pair=f'{name}~{family}')
        real = self._finish(dict(clip, imgs=genuine, label=0, **ids), seed)
        ids['video_id'] = f'{name}+{family}'
        fake = self._finish(dict(made, **ids), seed)
        changes = _differences(real['inputs'], fake['inputs']) / area
        return Pair(real, fake, family, float(changes.max()), 0)

    def _finish(self, results: dict, seed: int) -> dict:
        """Do what is behind ``FaceCrop``, alike for both of a pair."""
        # MMAction2's Flip works in place
        results['imgs'] = [img.copy() for img in results['imgs']]
        with seeded(seed, 1):
            return self.behind(results)

    def _member(self, info: dict) -> dict:
        """One of a pair. The other is kept: it is likely to be asked next."""
        draw = int(np.random.randint(2**62))
        first = int(info['frame_inds'][0])
        key = (info['video_id'], info['track'], first, info['family'], draw)
        kept, members = self._kept
        if kept != key or info['label'] not in members:
            pair = self.make_pair(info)
            members = dict(enumerate((pair.real, pair.fake)))
            for member in members.values():
                member['data_samples'].set_metainfo(
                    dict(change=pair.change, redrawn=pair.redrawn)
                )
            self._kept = key, members
        return members.pop(info['label'])


def _read_points(path: str, info: dict) -> np.ndarray:
    try:
        points = np.load(path, mmap_mode='r', allow_pickle=False)
        length, count, axes = points.shape
    except (OSError, ValueError, EOFError):
        length = count = axes = 0
    if (length, axes) != (info['num_frames'], 2) or count not in (5, 68):
        raise DataError(
            f'{path}: no landmarks of {info["num_frames"]} crops. Remedy: run '
            'gml prepare again, which adds what is missing'
        )
    return np.array(points[info['frame_inds']], np.float32)


def _differences(real: torch.Tensor, fake: torch.Tensor) -> np.ndarray:
    """Sums of absolute differences by frame, ``(1, C, T, H, W)`` -> (T,)."""
    return (real.float() - fake.float()).abs().sum((0, 1, 3, 4)).numpy()
