"""Clips of face crops (Sec. 3: "every 8 frames as a sequence input")."""

import logging
import os

import numpy as np
from mmaction.registry import DATASETS
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log


@DATASETS.register_module()
class FaceClipDataset(BaseDataset):
    """Clips of ``clip_len`` consecutive saved frames; label 1 = fake.

    Reads what ``tools/prepare_data.py`` writes: an annotation in MMEngine's
    format with ``video_id``, ``frame_dir``, ``num_frames``, ``label`` and
    ``method`` per video, and a folder of crops for each. In training an item
    is a video, of which each visit draws a random clip. In testing an item is
    one clip of a video, so that scores exist per clip and per video.

    The samples carry ``video_id``, ``clip_index`` and ``method`` as
    metainfo when the pipeline ends with ``PackActionInputs`` with these in
    its ``meta_keys``.

    Paper: silent on overlap and on the clips used in testing. Test clips do
    not overlap, and all of them are used unless ``num_clips`` is given; a rest
    of fewer than ``clip_len`` frames is left out. In training any start is
    equally likely.

    Args:
        ann_file: Annotation file, relative to ``data_root``.
        clip_len: Frames of a clip.
        num_clips: In testing, take at most this many clips of a video,
            evenly spread; None takes all.
        **kwargs: Those of MMEngine's ``BaseDataset``: ``data_root``,
            ``pipeline``, ``test_mode``, ``indices``, ...

    Raises:
        FileNotFoundError: If the annotation or crops it names are not there;
            the message names them.
        ValueError: If no video has enough frames for a clip.
    """

    METAINFO = dict(classes=('real', 'fake'))

    def __init__(
        self,
        ann_file: str,
        clip_len: int = 8,
        num_clips: int | None = None,
        **kwargs: object,
    ) -> None:
        self.clip_len = clip_len
        self.num_clips = num_clips
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Videos in training, clips in testing, checked against the disk."""
        if not os.path.isfile(self.ann_file):
            raise FileNotFoundError(
                f'no annotation {self.ann_file}: prepare the data with '
                'tools/prepare_data.py, or set data_root'
            )
        videos = super().load_data_list()
        self._check_crops(videos)
        long_enough = [v for v in videos if v['num_frames'] >= self.clip_len]
        if not long_enough:
            raise ValueError(
                f'{self.ann_file}: none of {len(videos)} videos has the '
                f'{self.clip_len} frames of a clip'
            )
        if len(long_enough) < len(videos):
            print_log(
                f'{self.ann_file}: left out {len(videos) - len(long_enough)} '
                f'of {len(videos)} videos with fewer than {self.clip_len} '
                'frames',
                logger='current',
                level=logging.WARNING,
            )
        if not self.test_mode:
            return long_enough
        return [clip for v in long_enough for clip in self._test_clips(v)]

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Complete a video's entry with what the host's pipeline reads."""
        return dict(
            raw_data_info,
            frame_dir=os.path.join(self.data_root, raw_data_info['frame_dir']),
            filename_tmpl=self.metainfo.get('filename_tmpl', '{:06}.jpg'),
            modality='RGB',
            clip_len=self.clip_len,
            num_clips=1,
        )

    def _check_crops(self, videos: list[dict]) -> None:
        missing = []
        for video in videos:
            try:
                found = len(os.listdir(video['frame_dir']))
            except OSError:
                found = 0
            if found < video['num_frames']:
                missing.append(
                    f'{video["frame_dir"]} ({found} of '
                    f'{video["num_frames"]} frames)'
                )
        if missing:
            named = ', '.join(missing[:5]) + (', ...' * (len(missing) > 5))
            raise FileNotFoundError(
                f'{self.ann_file}: crops of {len(missing)} of {len(videos)} '
                f'videos are missing: {named}; run tools/prepare_data.py '
                'again, which completes what is not there'
            )

    def _test_clips(self, video: dict) -> list[dict]:
        indices = np.arange(video['num_frames'] // self.clip_len)
        if self.num_clips is not None and self.num_clips < len(indices):
            # The middles of num_clips equal parts.
            parts = (np.arange(self.num_clips) + 0.5) / self.num_clips
            indices = (parts * len(indices)).astype(int)
        return [dict(video, clip_index=int(i)) for i in indices]

    def get_data_info(self, idx: int) -> dict:
        """The entry of item ``idx`` with ``frame_inds``, ``(clip_len,)``."""
        info = super().get_data_info(idx)
        if self.test_mode:
            start = info['clip_index'] * self.clip_len
        else:
            start = np.random.randint(info['num_frames'] - self.clip_len + 1)
            info['clip_index'] = -1
        info['frame_inds'] = start + np.arange(self.clip_len)
        return info
