"""What a checkpoint says of itself, read and checked.

Its records are as untrusted as the file: each is checked, and what is wrong
is an error that names it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config

from gml_mmaction.datasets.clip_transforms import FaceCrop
from gml_mmaction.engine.provenance import PROVENANCE, Validation, read_records
from gml_mmaction.engine.settings import (
    forgery_metric,
    inner_datasets,
    tested_set,
)
from gml_mmaction.errors import DetectorError
from gml_mmaction.evaluation.calibration import Calibration
from gml_mmaction.evaluation.forgery_metric import VIDEO_RULES
from gml_mmaction.faces import CropOptions
from gml_mmaction.io.config_text import parse_config
from gml_mmaction.io.records import to_record
from gml_mmaction.io.text import printable
from gml_mmaction.video import Rates

from .allowed import MOST_FRAMES, check_clips, check_pipeline, whole_number
from .detector_facts import Threshold

__all__ = ['ANOTHER', 'checked_facts', 'refused']

ANOTHER = 'Remedy: give another checkpoint of gml train'
SAVED = (
    *('size', 'stride', 'image', 'quality', 'min_frames', 'upsample'),
    *('search_stride', 'check_stride', 'lost'),
)


def checked_facts(
    path: Path,
    meta: Mapping[str, Any],
    calibration: Callable[[], Calibration | None],
    threshold: float | None,
) -> dict[str, Any]:
    """The fields of :class:`.DetectorFacts`, without the file's hash.

    Args:
        path: The file.
        meta: What it says of itself, not yet checked.
        calibration: Reads the calibration.
        threshold: As given; None for the calibration's or the checkpoint's.

    Raises:
        ConfigTextError: Its config is not made of values.
        DetectorError: It is not of a detector, or a record is not valid.
    """
    cfg = parse_config(meta['cfg'])
    _check_pipeline(path, cfg)
    validation = _validation(path, meta)
    options, clip_len = _crop_options(path, cfg, meta)
    with refused(path):
        check_pipeline(tested_set(cfg).pipeline)
        check_clips(tested_set(cfg).pipeline, clip_len)
    calibrated = calibration()
    return dict(
        cfg=cfg,
        checkpoint=path,
        meta=meta,
        crop_options=options,
        clip_len=clip_len,
        video_rule=_video_rule(cfg),
        threshold=_threshold(path, threshold, calibrated, validation),
        calibration=calibrated,
        rates=_rates(path, meta),
        reference=validation.reference,
    )


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """Refuse a config that asks for more than our detectors."""
    try:
        yield
    except ValueError as error:
        raise DetectorError(
            f'{path}: its config was not used: {error}. Remedy: give a '
            "checkpoint of this project's configs, or --import MODULE for a "
            'network of your own'
        ) from None


def _check_pipeline(path: Path, cfg: Config) -> None:
    trained_on = (cfg.get('train_dataloader') or {}).get('dataset')
    sets = {'test': [tested_set(cfg)]}
    if trained_on:  # some train on whole frames and test on what they inherit
        sets['training'] = inner_datasets(trained_on)
    for what, dataset in ((k, one) for k, v in sets.items() for one in v):
        steps = [step.get('type') for step in dataset.get('pipeline') or ()]
        if steps[:1] == ['ClipDecode'] and FaceCrop.__name__ in steps:
            continue
        names = printable(', '.join(map(str, steps)))
        raise DetectorError(
            f'{path}: not a detector of face forgeries: its {what} '
            f'pipeline ({names:.300}) does not begin with ClipDecode and '
            'cut faces by FaceCrop. Remedy: give a checkpoint of this '
            "project's configs"
        )


def _validation(path: Path, meta: Mapping) -> Validation:
    """Return what is said of it, after checking all records."""
    try:
        return read_records(meta)[1]
    except (TypeError, ValueError) as error:  # JSON cannot hold it
        raise DetectorError(
            f'{path}: its record of the training is not valid: '
            f'{printable(str(error)):.200}. Remedy: give another checkpoint'
        ) from None


def _crop_options(
    path: Path, cfg: Config, meta: Mapping
) -> tuple[CropOptions, int]:
    """Return how the training crops were made, and the frames of a clip."""
    recorded = _recorded(meta)
    if str(recorded.get('filename_tmpl', '')).endswith('.png'):
        recorded.setdefault('image', 'png')
    values = {name: recorded[name] for name in SAVED if name in recorded}
    kinds = {name: type(getattr(CropOptions, name)) for name in values}
    store = recorded.get('store', 'crops')
    try:
        for name, kind in kinds.items():
            if type(values[name]) is not kind:
                wrong = printable(repr(values[name]))
                raise ValueError(
                    f'{name} is {wrong:.60}, expected {kind.__name__}'
                )
        given = tested_set(cfg).get('clip_len', 8)
        clip_len = whole_number('clip_len', given, 1, MOST_FRAMES)
        values['min_frames'] = max(clip_len, values.get('min_frames', 0))
        options = CropOptions(**values, store=store, tracks='all')
    except (TypeError, ValueError) as error:
        raise DetectorError(
            f'{path}: its record of the crops is not valid: {error}. {ANOTHER}'
        ) from None
    return options, clip_len


def _recorded(meta: Mapping) -> dict[str, Any]:
    """What a checkpoint says of its training data, by the manifest."""
    training = meta.get(PROVENANCE, {}).get('training') or {}
    return {**(meta.get('dataset_meta') or {}), **training}


def _rates(path: Path, meta: Mapping) -> Rates | None:
    rates = _recorded(meta).get('rates')
    if rates is None:
        return None
    try:
        return to_record(rates, Rates)
    except ValueError as error:
        raise DetectorError(
            f'{path}: its record of the frame rates is not valid: '
            f'{printable(repr(rates)):.60} ({error}). {ANOTHER}'
        ) from None


def _video_rule(cfg: Config) -> str:
    rule = (forgery_metric(cfg) or {}).get('video_rule')
    return rule if rule in VIDEO_RULES else 'mean'


def _threshold(
    path: Path,
    given: float | None,
    calibration: Calibration | None,
    validation: Validation,
) -> Threshold:
    if given is not None:
        if not 0 <= given <= 1:
            raise DetectorError(
                f'threshold {given}: out of bounds. Remedy: 0 to 1'
            )
        return Threshold(given, 'as given')
    if calibration:
        return Threshold(
            calibration.threshold,
            f'equal error rate on {calibration.data}',
        )
    value = validation.metrics.get('video/eer_threshold')
    if value is None:
        return Threshold(
            0.5, 'the checkpoint was not validated, so the middle is used'
        )
    clips = validation.num_clips
    some = f', at most {clips} a track' if clips else ''
    made = f'; {printable(validation.origin)}' if validation.origin else ''
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise DetectorError(
            f'{path}: its threshold is {printable(repr(value)):.60}; it must '
            'be 0 to 1. Remedy: give --threshold, or another checkpoint'
        )
    return Threshold(
        float(value),
        'equal error rate of videos in the validation set of '
        f'source {validation.source or "unknown"} '
        f'({validation.clips} clips{some}{made})',
    )
