"""Clips of face crops (Sec. 3: "every 8 frames as a sequence input")."""

import logging
import os
from typing import Any

import numpy as np
from mmaction.registry import DATASETS
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.io.records import as_json
from gml_mmaction.prepared.annotation import read_annotation
from gml_mmaction.video import is_video


@DATASETS.register_module()
class FaceClipDataset(BaseDataset):
    """Clips of ``clip_len`` consecutive prepared frames; label 1 = fake.

    Reads an annotation of ``gml prepare``, in MMEngine's format, with an
    entry per track: one face, followed through a video or a part of it. Its
    ``metainfo['store']`` says where the pixels are: in saved crops, or in the
    videos, from which ``ClipDecode`` and ``FaceCrop`` cut them. Without it
    the annotation is one of saved crops; an entry without ``track`` is track
    0.

    In training an item is a track, of which each visit draws a random clip.
    In testing an item is one clip of a track, so that scores exist per clip,
    per track and per video. The samples carry ``video_id``, ``track``,
    ``clip_index``, ``method`` and ``pair`` as metainfo when the pipeline ends
    with ``PackActionInputs`` with these in its ``meta_keys``. The metric gets
    the annotation's metainfo, with ``source`` and ``manifest``, as its
    ``dataset_meta``.

    Paper: silent on overlap and on the clips used in testing. Test clips do
    not overlap, and all of them are used unless ``num_clips`` is given; a rest
    of fewer than ``clip_len`` frames is left out. In training any start is
    equally likely.

    Args:
        ann_file: Annotation file, relative to ``data_root``.
        clip_len: Frames of a clip.
        num_clips: In testing, take at most this many clips of a track,
            evenly spread; None takes all.
        video_root: Folder of the videos, for videos that were moved after
            they were prepared; None takes the annotation's. No effect on
            saved crops.
        **kwargs: Arguments of MMEngine's ``BaseDataset``: ``data_root``,
            ``pipeline``, ``test_mode``, ``indices``, ...

    Raises:
        FileNotFoundError: If the annotation, or the crops or videos it names
            are not there; the message names them.
        SettingError: If ``num_clips`` is below 1.
        DataError: If it is not an annotation, no track has enough frames for
            a clip, or the store is of an unknown kind.
    """

    METAINFO = dict(classes=('real', 'fake'))

    _metainfo: dict[str, Any]

    def __init__(
        self,
        ann_file: str,
        clip_len: int = 8,
        num_clips: int | None = None,
        video_root: str | None = None,
        **kwargs: object,
    ) -> None:
        if num_clips is not None and num_clips < 1:
            raise SettingError(
                f'num_clips={num_clips}: use 1 or more, or None'
            )
        self.clip_len = clip_len
        self.num_clips = num_clips
        self.video_root = video_root
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Tracks in training, clips in testing, checked against the disk."""
        if not os.path.isfile(self.ann_file):
            raise FileNotFoundError(
                f'{self.ann_file}: no such annotation. Remedy: prepare the '
                'data with gml prepare, or set data_root'
            )
        tracks = self._read_annotation()
        if self._store == 'boxes':
            self._check_videos(tracks)
        else:
            self._check_crops(tracks)
        long_enough = [t for t in tracks if t['num_frames'] >= self.clip_len]
        if not long_enough:
            raise DataError(
                f'{self.ann_file}: all {len(tracks)} tracks are shorter '
                f'than a clip ({self.clip_len} frames). Remedy: prepare '
                'longer videos, or a lower clip_len'
            )
        if len(long_enough) < len(tracks):
            print_log(
                f'{self.ann_file}: left out {len(tracks) - len(long_enough)} '
                f'of {len(tracks)} tracks with fewer than {self.clip_len} '
                'frames',
                logger='current',
                level=logging.WARNING,
            )
        if not self.test_mode:
            return long_enough
        return [clip for t in long_enough for clip in self._test_clips(t)]

    def _read_annotation(self) -> list[dict]:
        content = read_annotation(self.ann_file)
        self._metainfo = {**as_json(content.metainfo), **self._metainfo}
        entries = as_json(content.data_list)  # as MMEngine holds them
        return [self.parse_data_info(entry) for entry in entries]

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Complete a track's entry with what the pipeline reads."""
        place = (
            dict(video=os.path.join(self._videos_at, raw_data_info['video']))
            if self._store == 'boxes'
            else dict(
                frame_dir=os.path.join(
                    self.data_root, raw_data_info['frame_dir']
                ),
                filename_tmpl=self.metainfo.get('filename_tmpl', '{:06}.jpg'),
            )
        )
        return {
            'track': 0,
            'start': 0,
            **raw_data_info,
            **place,
            'pair': self._pair_of(raw_data_info),
            'stride': self.metainfo.get('stride', 1),
            'modality': 'RGB',
            'clip_len': self.clip_len,
            'num_clips': 1,
        }

    @staticmethod
    def _pair_of(track: dict) -> str:
        """Which genuine video a track shows, or was made of; '' if unknown."""
        own = '' if track['label'] else track['video_id']
        return track.get('original', own)

    @property
    def _store(self) -> str:
        store = self.metainfo.get('store', 'crops')
        if store not in ('boxes', 'crops'):
            raise DataError(
                f'{self.ann_file}: store {store!r:.60} is neither boxes '
                'nor crops. Remedy: prepare the data again, with this '
                'version'
            )
        return store

    @property
    def _videos_at(self) -> str:
        if self.video_root is not None:
            return self.video_root
        return os.path.join(self.data_root, self.metainfo['root'])

    def _check_crops(self, tracks: list[dict]) -> None:
        missing = []
        for track in tracks:
            try:
                found = len(os.listdir(track['frame_dir']))
            except OSError:
                found = 0
            if found < track['num_frames']:
                missing.append(
                    f'{track["frame_dir"]} ({found} of '
                    f'{track["num_frames"]} frames)'
                )
        if missing:
            raise FileNotFoundError(
                f'{self.ann_file}: crops of {len(missing)} of '
                f'{len(tracks)} tracks are missing: {_first_few(missing)}. '
                'Remedy: run gml prepare again, which adds what is missing'
            )

    def _check_videos(self, tracks: list[dict]) -> None:
        paths = dict.fromkeys(track['video'] for track in tracks)
        missing = [path for path in paths if not is_video(path)]
        if missing:
            names = [os.path.relpath(p, self._videos_at) for p in missing]
            raise FileNotFoundError(
                f'{self.ann_file}: {len(missing)} of {len(paths)} videos '
                f'are not in {self._videos_at}: {_first_few(names)}. '
                'Remedy: run gml prepare again with their new folder, or '
                "set the dataset's video_root"
            )

    def _test_clips(self, track: dict) -> list[dict]:
        indices = np.arange(track['num_frames'] // self.clip_len)
        if self.num_clips is not None and self.num_clips < len(indices):
            # The middles of num_clips equal parts.
            parts = (np.arange(self.num_clips) + 0.5) / self.num_clips
            indices = (parts * len(indices)).astype(int)
        return [dict(track, clip_index=int(i)) for i in indices]

    def get_cat_ids(self, idx: int) -> list[int]:
        """The label of item ``idx``, for ``ClassBalancedDataset``."""
        return [super().get_data_info(idx)['label']]

    def get_data_info(self, idx: int) -> dict:
        """The entry of item ``idx`` with ``frame_inds``, ``(clip_len,)``.

        These count the prepared frames of the track from 0.
        """
        info = super().get_data_info(idx)
        if self.test_mode:
            first = info['clip_index'] * self.clip_len
        else:
            first = np.random.randint(info['num_frames'] - self.clip_len + 1)
            info['clip_index'] = -1
        info['frame_inds'] = first + np.arange(self.clip_len)
        return info


def _first_few(names: list[str]) -> str:
    return ', '.join(names[:5]) + ', ...' * (len(names) > 5)
