"""A tiny detector and tiny prepared data, to run MMEngine's real runner.

``from tiny import CONFIG, TINY, ...`` works in every test below this folder.
"""

import dataclasses
import hashlib
import itertools
import json
import socket
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config

from gml_mmaction.engine.config_check import change_settings
from gml_mmaction.faces import CropOptions
from gml_mmaction.io.records import as_json
from gml_mmaction.video import rates_of

REPO = Path(__file__).parents[1]
CONFIG = REPO / 'configs/gml_xception-small_demo.py'
TINY = {
    'model.backbone.width': 0.0625,
    'model.cls_head.in_channels': 128,
    'model.cls_head.ad_head.in_channels': 46,
}
# A file for --import.
OWN_XCEPTION = """
from mmaction.registry import MODELS

from gml_mmaction.models import Xception


@MODELS.register_module()
class OwnXception(Xception):
    pass
"""


def free_port():
    """The number of a port of this machine that nobody listens at, as text."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return str(listener.getsockname()[1])


def tiny_config(work_dir, checkpoint, data):
    """The demo's config, a sixteenth as wide, that reads no data set yet."""
    cfg = Config.fromfile(CONFIG)
    loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    cfg.merge_from_dict(
        {
            **TINY,
            **{f'{name}.num_workers': 0 for name in loaders},
            **{f'{name}.persistent_workers': False for name in loaders},
            **{f'{name}.dataset.data_root': str(data) for name in loaders},
        }
    )
    cfg.work_dir = str(work_dir)
    cfg.load_from = str(checkpoint)
    return cfg


def write_checkpoint(path, seed=0, settings=None):
    """Write the weights of a tiny detector that has learnt nothing.

    They are such that clips differ in their scores, on both sides of 0.5.
    """
    from mmaction.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope('mmaction')
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({**TINY, **(settings or {})})
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    state = model.state_dict()
    fc = 'cls_head.fc_cls1'
    state[f'{fc}.weight'] = 20 * torch.randn_like(state[f'{fc}.weight'])
    state[f'{fc}.bias'] = torch.zeros_like(state[f'{fc}.bias'])
    torch.save(dict(state_dict=state), path)
    return path


def write_detector(
    path, seed=0, size=64, settings=None, options=(), **provenance
):
    """Write a tiny detector as training does: with config and provenance.

    Args:
        path: The checkpoint to write.
        seed: Of the weights, see :func:`write_checkpoint`.
        size: Of the crops it says it was trained on.
        settings: Of the config, beside ``TINY``.
        options: Of the command line that it was trained with, ``KEY=VALUE``.
        **provenance: ``training`` and ``validation`` instead of made-up ones.
    """
    write_checkpoint(path, seed, settings)
    checkpoint = torch.load(path, weights_only=True)
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({**TINY, **(settings or {})})
    change_settings(cfg, options)
    training = dict(
        source='ffpp',
        source_options=dict(compression='c23'),
        manifest='0123456789abcdef',
        **dataclasses.asdict(CropOptions(size=size)),
        real_videos=24,
        fake_videos=24,
        methods=['Deepfakes'],
        rates=dict(low=12.5, median=12.5, high=12.5),
    )
    validation = dict(
        iter=50,
        metrics={'video/auc': 0.9, 'video/eer_threshold': 0.45},
        source='ffpp',
        clips=80,
        num_clips=None,
    )
    meta = dict(
        cfg=cfg.pretty_text,
        iter=50,
        provenance=dict(training=training, validation=validation) | provenance,
    )
    torch.save(dict(checkpoint, meta=meta), path)
    return path


def write_prepared(
    root, splits, source='made up', seed=0, frames=16, rates=None
):
    """Write crops, annotations and a manifest as prepare_data.py does.

    Args:
        root: Folder to write.
        splits: ``{'test': [(video_id, method, people, tracks), ...]}``.
        source: Name of the data set.
        seed: Of the images, which are noise of a brightness of their own.
        frames: Crops of a track.
        rates: Frames a second of the crops of the videos, in turn.
    """
    rng = np.random.default_rng(seed)
    track = dict(start=0, stop=2 * frames, num_frames=frames)
    track['square'] = [0, 0, 32]
    videos = [
        dict(
            video_id=video_id,
            path=f'{video_id}.mp4',
            split=split,
            method=method,
            label=int(method != 'real'),
            people=list(people),
            tracks=[track] * tracks,
        )
        for split, entries in splits.items()
        for video_id, method, people, tracks in entries
    ]
    for video, rate in zip(videos, itertools.cycle(rates or ())):
        video['rate'] = rate
    manifest = dict(
        source=source,
        source_options=dict(compression='c23', methods=['a', 'b']),
        **dataclasses.asdict(CropOptions(size=32)),
        max_frames=dict.fromkeys(('train', 'val', 'test')),
        videos=videos,
    )
    text = json.dumps(manifest)
    root.mkdir(parents=True)
    (root / 'manifest.json').write_text(text)
    metainfo = dict(
        source=source,
        store='crops',
        size=32,
        stride=2,
        filename_tmpl='{:06}.jpg',
        classes=['real', 'fake'],
        manifest=hashlib.sha256(text.encode()).hexdigest(),
        root='.',
    )
    for split in splits:
        entries = [
            _write_track(root, video, track, frames, rng)
            for video in videos
            if video['split'] == split
            for track in range(len(video['tracks']))
        ]
        known = [v['rate'] for v in videos if v['split'] == split and rates]
        told = {'rates': as_json(rates_of(known))} if known else {}
        content = dict(metainfo=metainfo | told, data_list=entries)
        (root / f'{split}.json').write_text(json.dumps(content))
    return root


def _write_track(root, video, track, frames, rng):
    frame_dir = f'frames/{video["video_id"]}/{track}'
    (root / frame_dir).mkdir(parents=True)
    level = rng.integers(20, 200)
    for i in range(frames):
        image = level + rng.integers(0, 56, (32, 32, 3))
        cv2.imwrite(
            str(root / frame_dir / f'{i:06}.jpg'), image.astype(np.uint8)
        )
    return dict(
        video_id=video['video_id'],
        track=track,
        frame_dir=frame_dir,
        num_frames=frames,
        label=video['label'],
        method=video['method'],
    )


def make_crops(root, split, videos, label_of):
    """Write ``videos`` of 16 crops: real ones slide, fake ones jump about.

    Args:
        root: Folder of the prepared data.
        split: Whose annotation is written, too.
        videos: Their number.
        label_of: Gives the label of a video by its number.
    """
    rng = np.random.default_rng(len(split))
    entries = []
    for v in range(videos):
        label = label_of(v)
        folder = root / 'frames' / split / str(v)
        folder.mkdir(parents=True)
        image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        for i in range(16):
            shift = int(rng.integers(64)) if label else i
            frame = np.roll(image, shift, axis=1)
            cv2.imwrite(str(folder / f'{i:06}.jpg'), frame)
        entries.append(
            dict(
                video_id=f'{split}/{v}',
                frame_dir=f'frames/{split}/{v}',
                num_frames=16,
                label=label,
                method='Deepfakes' if label else 'real',
            )
        )
    annotation = dict(
        metainfo=dict(source='made up', filename_tmpl='{:06}.jpg'),
        data_list=entries,
    )
    (root / f'{split}.json').write_text(json.dumps(annotation))
