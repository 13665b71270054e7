"""What is known of a detector besides its network, as facts and as words.

They come from what its checkpoint says, read and checked
(:mod:`.detector_records`), and are in each report.
"""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from gml_mmaction.engine.initial_weights import Initial
from gml_mmaction.engine.provenance import (
    PROVENANCE,
    Training,
    initial_of,
    read_records,
)
from gml_mmaction.evaluation.calibration import Calibration
from gml_mmaction.evaluation.reference import (
    LEAST_TRACKS,
    GenuineScores,
    Reference,
)
from gml_mmaction.faces import CropOptions
from gml_mmaction.io.records import as_json
from gml_mmaction.io.rules import NUMBER
from gml_mmaction.io.text import counted, nth, printable
from gml_mmaction.video import Rates

__all__ = ['DetectorFacts', 'Threshold']

SLOW = (
    'In a video with far fewer frames a second, faces seem to move faster '
    'than they do. Such a genuine video may score high; a note marks it.',
)


@dataclass(frozen=True)
class Threshold:
    """The score from which a video is called suspicious.

    Attributes:
        value: P(fake), 0 to 1.
        origin: Where it comes from, in words.
    """

    value: float
    origin: str


@dataclass(kw_only=True)
class DetectorFacts:
    """All that is known of a detector but its network.

    Attributes:
        cfg: Config that it was trained with.
        checkpoint: The file.
        sha256: Of the file.
        meta: The checkpoint's own records.
        crop_options: How faces are found and cut out: as for the training
            data, but every face is followed.
        clip_len: Frames of a clip.
        video_rule: How the scores of clips make a track's score.
        threshold: Of a video's score.
        calibration: From the side file, if there is one.
        rates: Frames a second of the training crops; None if the checkpoint
            does not say.
        reference: What genuine validation videos and the training data are
            like; None if the checkpoint does not say.
    """

    cfg: Config
    checkpoint: Path
    sha256: str
    meta: Mapping[str, Any]
    crop_options: CropOptions
    clip_len: int
    video_rule: str
    threshold: Threshold
    calibration: Calibration | None
    rates: Rates | None = None
    reference: Reference | None = None

    @functools.cached_property
    def genuine(self) -> GenuineScores | None:
        """How high genuine tracks score; None where too few are known."""
        tracks = self.reference.tracks if self.reference else []
        if len(tracks) < LEAST_TRACKS:
            return None
        return GenuineScores(tracks, self.video_rule)

    @property
    def training(self) -> Training:
        """What the checkpoint says of its training data."""
        return read_records(self.meta)[0]

    @property
    def initial(self) -> Initial | None:
        """How the network was initialised, if the checkpoint says it."""
        return initial_of(dict(meta=self.meta))

    @property
    def _recorded(self) -> Mapping[str, Any]:
        """The same with everything else in it, as saved."""
        recorded = self.meta.get(PROVENANCE, {}).get('training')
        return recorded or self.meta.get('dataset_meta') or {}

    @property
    def facts(self) -> dict[str, Any]:
        """What a report says about the detector, fit for JSON."""
        calibration = self.calibration
        return dict(
            origin=self.origin,
            checkpoint=self.checkpoint.name,
            sha256=self.sha256,
            iterations=self.meta.get('iter'),
            network=f'{self.cfg.model.backbone.type}, '
            f'{self.cfg.model.cls_head.type}',
            training={
                key: value
                for key, value in self._recorded.items()
                if key not in ('classes', 'root')
            },
            validation=self._validation_facts,
            level=self.level,
            initial=self.initial and as_json(self.initial),
            rates=self.rates and as_json(self.rates),
            threshold=dataclasses.asdict(self.threshold),
            calibration=calibration and calibration.facts,
            words=self.words,
        )

    @property
    def _validation_facts(self) -> dict[str, Any]:
        """What the checkpoint says of its validation; {} if nothing."""
        if not self.meta.get(PROVENANCE, {}).get('validation'):
            return {}
        validation = as_json(read_records(self.meta)[1])
        validation['reference'] = self.reference and self.reference.facts
        validation['metrics'] = {
            key: value
            for key, value in validation['metrics'].items()
            if value is None or (NUMBER.holds(value) and np.isfinite(value))
        }
        return validation

    @property
    def origin(self) -> str:
        """What it was trained on, if videos or fakes are synthetic; or ''."""
        return printable(self.training.origin or '')

    @property
    def level(self) -> str:
        """What a score of a clip, a track and a video is."""
        if self.rates is None:
            taken = (
                f'every {nth(self.crop_options.stride)} frame of the '
                'video, whatever its frame rate: the checkpoint does not '
                'record the rate of its training'
            )
        else:
            taken = (
                f'taken by time at the rate of the training, {self.rates} a '
                'second'
            )
        return (
            f"a clip is {self.clip_len} frames, {taken}; a track's score is "
            f"the {self.video_rule} of its clips', a video's the highest of "
            "its tracks'"
        )

    @property
    def words(self) -> list[str]:
        """What a reader must know to use a score, a line each."""
        made_up = [f'Trained on {self.origin}.'] if self.origin else []
        lines = [
            *made_up,
            'A score is not a proof. It says how much a face looks like '
            'the forgeries in the training data; another kind of forgery '
            'may score low, and a genuine video high.',
            f'Trained on {self._trained_on()}.',
            *self._made_in_training(),
            *self._started_from(),
            f'Scores: {self.level}.',
            *(SLOW if self.rates else ()),
            f'Threshold {self.threshold.value:.4f}: {self.threshold.origin}.',
            *self._validated(),
            *self._compared_with(),
            self.calibration.words
            if self.calibration
            else 'Scores are not calibrated: 0.8 does not mean 80 per cent, '
            'and on data unlike the training data (camera, '
            'compression, people) the threshold may be far off.',
            '"Not suspicious" does not mean genuine.',
        ]
        return [printable(line) for line in lines]

    def _validated(self) -> list[str]:
        """What it reached in its validation, if the checkpoint says it."""
        auc = self._validation_facts.get('metrics', {}).get('video/auc')
        if auc is None:
            return []
        if auc <= 0.5:
            return [
                f'In its validation it was no better than a coin (video AUC '
                f'{auc:.3f}): do not use it.'
            ]
        return [f'In its validation its video AUC was {auc:.3f}.']

    def _compared_with(self) -> list[str]:
        """What is known of genuine videos, and what that is good for."""
        if self.reference is None:
            return [
                'The checkpoint does not say what its training videos and '
                'the scores of genuine ones were like: the report does not '
                'say whether a video is unlike them, and many faces or cuts '
                'raise the score of a genuine video.'
            ]
        if self.genuine is None:
            return [
                'Many faces or cuts raise the score of a genuine video: '
                f'{self.reference.words} are too few to correct for it; it '
                f'takes {LEAST_TRACKS}.'
            ]
        return [
            'Where there are several faces or cuts, or few clips, the '
            'threshold is compared with the score that one face of the '
            'validation would exceed as rarely by chance. Chances are from '
            f'{self.reference.words}; rarer ones than one in '
            f'{len(self.reference.tracks)} are extrapolated.'
        ]

    def _made_in_training(self) -> list[str]:
        names = ', '.join(self.training.pseudo_fakes)
        return [f'Fakes made of genuine clips in training: {names}.'] * (
            names != ''
        )

    def _started_from(self) -> list[str]:
        initial = self.initial
        return [f'Started from: {initial.words}.'] if initial else []

    def _trained_on(self) -> str:
        training = self.training
        if not training.source:
            return 'data that the checkpoint does not name'
        named = ' by name' if self.origin else ''
        text = f'data of source {training.source}{named}'
        text += f' ({_options(training)})'
        if training.real_videos is not None and not training.fake_videos:
            text += f', {counted(training.real_videos, "real video")}'
        elif training.real_videos is not None:
            text += (
                f', {training.real_videos} real and '
                f'{training.fake_videos} fake videos of '
                f'{", ".join(training.methods)}'
            )
        return text


def _options(training: Training) -> str:
    """The options of a source in words, then the manifest's hash."""
    options = training.source_options or {}
    texts = [
        f'{key} {", ".join(map(str, v)) if isinstance(v, list) else v}'
        for key, v in options.items()
        if v not in (None, [], '')
    ]
    digest = (training.manifest or 'unknown')[:12]
    return ', '.join([*texts, f'manifest {digest}'])
