"""Measure what genuine validation videos and the training data are like."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from mmengine.dataset import pseudo_collate
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from gml_mmaction.evaluation.reference import (
    MOST_TRACKS,
    HeatScale,
    Reference,
    quantiles_of,
    tracks_of,
)
from gml_mmaction.evaluation.scores import ClipScore
from gml_mmaction.explain.cam import LayerError, cam_maps
from gml_mmaction.explain.feature_maps import clue_maps, has_clue
from gml_mmaction.io.records import UNSET
from gml_mmaction.prepared.manifest import PreparedVideo, read_manifest

from .settings import inner_datasets

__all__ = ['Look', 'bits_per_pixel', 'look_of', 'measure_reference']

MOST_CLIPS = 64  # genuine ones whose heat is measured
LOOKED_AT = 512  # clips among which they are searched
BATCH = 4


class Look(NamedTuple):
    """What a clip looks like to the network, before it is normalised.

    Attributes:
        brightness: Mean, grey levels 0 to 255.
        sharpness: Mean of the Laplacian's absolute value, grey levels.
    """

    brightness: float
    sharpness: float


def look_of(inputs: Tensor) -> Look | None:
    """Measure a packed clip; None if it is no clip of three colours.

    Args:
        inputs: ``(..., 3, T, H, W)``, 0 to 255.
    """
    if inputs.dim() < 4 or inputs.shape[-4] != 3 or min(inputs.shape) < 1:
        return None
    grey = inputs.float().mean(dim=-4)
    inner = grey[..., 1:-1, 1:-1]
    sides = (
        grey[..., :-2, 1:-1]
        + grey[..., 2:, 1:-1]
        + grey[..., 1:-1, :-2]
        + grey[..., 1:-1, 2:]
    )
    laplacian = (sides - 4 * inner).abs()
    sharpness = float(laplacian.mean()) if laplacian.numel() else 0.0
    return Look(float(grey.mean()), sharpness)


def bits_per_pixel(
    size: int | None, width: int, height: int, frames: int
) -> float | None:
    """How strongly a video is compressed; its sound counts, too.

    Args:
        size: Of the file, in bytes.
        width: Of a frame.
        height: Of a frame.
        frames: Of the file.
    """
    pixels = width * height * frames
    return 8 * size / pixels if size and pixels else None


def measure_reference(
    model: nn.Module,
    validation: Any,
    training: Any,
    scores: Sequence[ClipScore],
) -> Reference:
    """Measure what a checkpoint carries along for its reports.

    Clips are a sample of 64 that is spread over the validation set, so that
    a large one takes no longer.

    Args:
        model: The detector; it is left in the mode that it has.
        validation: The data set, in test mode, maybe wrapped.
        training: That of the training, whose manifest is read.
        scores: Of the validation's clips.
    """
    clips = _genuine_clips(validation)
    inputs = _of_videos([*_manifests(training), *_manifests(validation)])
    looks = [look_of(clip['inputs']) for clip in clips]
    for name in Look._fields:
        inputs[name] = [getattr(look, name) for look in looks if look]
    return Reference(
        heat=_heat(model, clips),
        tracks=_spread(tracks_of(scores), MOST_TRACKS),
        inputs={
            name: quantiles_of(values)
            for name, values in inputs.items()
            if values
        },
    )


def _genuine_clips(dataset: Any) -> list[dict]:
    """Packed clips, spread over the genuine ones of a data set."""
    places = [
        (inner, index)
        for inner in inner_datasets(dataset)
        for index in _spread(range(len(inner)), LOOKED_AT)
        if inner.get_data_info(index).get('label') == 0
    ]
    return [inner[index] for inner, index in _spread(places, MOST_CLIPS)]


def _spread(items: Sequence, most: int) -> list:
    """At most so many, evenly spread."""
    count = min(most, len(items))
    return [items[int((i + 0.5) / count * len(items))] for i in range(count)]


def _heat(model: nn.Module, clips: Sequence[dict]) -> HeatScale | None:
    if not clips:
        return None
    network: Any = model.module if is_model_wrapper(model) else model
    kind = 'clue' if has_clue(network) else 'cam'
    maps_of = clue_maps if kind == 'clue' else cam_maps
    was_training = network.training
    maps = []
    try:
        for start in range(0, len(clips), BATCH):
            data = pseudo_collate(list(clips[start : start + BATCH]))
            maps.append(maps_of(network, data)[1].cpu().numpy())
    except LayerError:
        return None
    finally:
        network.train(was_training)
    values = np.concatenate([one.reshape(-1) for one in maps])
    peaks = np.concatenate([one.max(axis=(2, 3)).reshape(-1) for one in maps])
    if not np.isfinite(values).all():
        return None
    return HeatScale(
        kind=kind,
        values=quantiles_of(values),
        peaks=quantiles_of(peaks),
        frames=len(peaks),
    )


def _manifests(dataset: Any) -> Iterable[PreparedVideo]:
    """The prepared videos of training and validation, behind a data set."""
    folders = {
        str(getattr(inner, 'data_root', '') or '')
        for inner in inner_datasets(dataset)
    }
    for folder in sorted(folders):
        manifest = read_manifest(folder)
        for split in ('train', 'val') if manifest else ():
            assert manifest is not None
            yield from manifest.prepared(split)


def _of_videos(videos: Iterable[PreparedVideo]) -> dict[str, list[float]]:
    """Properties of videos, by name, as far as they are known."""
    found: dict[str, list[float]] = {
        name: [] for name in ('rate', 'face', 'bits', 'length')
    }
    for video in videos:
        frames = video.total_frames or 0
        rate = video.rate or (video.fps or 0) / (video.stride or 1)
        if rate:
            found['rate'].append(float(rate))
        if video.fps and frames:
            found['length'].append(frames / video.fps)
        whole = video.member is UNSET and not video.cropped
        size = video.bytes if whole else None
        bits = bits_per_pixel(
            size or None, video.width or 0, video.height or 0, frames
        )
        if bits:
            found['bits'].append(bits)
        found['face'] += [
            track.square[2] / 2 for track in video.tracks or () if track.square
        ]
    return found
