"""A detector from a checkpoint alone: network, crops, threshold, words."""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmaction.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader
from torch.overrides import TorchFunctionMode

from gml_mmaction.datasets.clip_transforms import FaceCrop
from gml_mmaction.engine.initial_weights import Initial
from gml_mmaction.engine.provenance import (
    PROVENANCE,
    Training,
    Validation,
    initial_of,
    read_records,
)
from gml_mmaction.engine.reference import Look, look_of
from gml_mmaction.engine.settings import (
    inner_datasets,
    tested_set,
    without_files,
)
from gml_mmaction.errors import CheckpointError, GMLError, SettingError
from gml_mmaction.evaluation.calibration import Calibration, read_calibration
from gml_mmaction.evaluation.forgery_metric import VIDEO_RULES
from gml_mmaction.evaluation.reference import (
    LEAST_TRACKS,
    GenuineScores,
    Reference,
)
from gml_mmaction.explain.cam import LayerError, cam_maps
from gml_mmaction.explain.feature_maps import clue_maps, has_clue
from gml_mmaction.faces import CropOptions
from gml_mmaction.host.weights import check_weights
from gml_mmaction.io.config_text import ConfigTextError, parse_config
from gml_mmaction.io.files import file_sha256
from gml_mmaction.io.records import as_json, to_record
from gml_mmaction.io.rules import NUMBER
from gml_mmaction.io.text import counted, nth, one_line, printable
from gml_mmaction.kernels import accelerate
from gml_mmaction.video import Frames, Rates, Taken, at_rate, every

from .allowed import (
    MOST_FRAMES,
    check_clips,
    check_model,
    check_pipeline,
    whole_number,
)

__all__ = ['Detector', 'DetectorError', 'Threshold', 'load_detector']

HEATS = ('auto', 'clue', 'cam', 'none')
SAVED = (
    *('size', 'stride', 'image', 'quality', 'min_frames', 'upsample'),
    *('search_stride', 'check_stride', 'lost'),
)

ANOTHER = 'Remedy: give another checkpoint of gml train'
SLOW = (
    'In a video with far fewer frames a second, faces seem to move faster '
    'than they do. Such a genuine video may score high; a note marks it.',
)


class DetectorError(CheckpointError):
    """A checkpoint that is not a detector of face forgeries."""


@dataclass(frozen=True)
class Threshold:
    """The score from which a video is called suspicious.

    Attributes:
        value: P(fake), 0 to 1.
        origin: Where it comes from, in words.
    """

    value: float
    origin: str


@dataclass
class Detector:
    """A network that is ready to score clips of face crops.

    Attributes:
        model: In evaluation mode, on its device.
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

    model: BaseModel
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

    def __post_init__(self) -> None:
        self._proven = False  # a clip went through the network
        pipeline = tested_set(self.cfg).pipeline
        self._pack = Compose([TRANSFORMS.build(step) for step in pipeline[1:]])

    def take(self, reader: Frames) -> Taken:
        """Choose the frames of a video to score, by time."""
        stride = self.crop_options.stride
        if self.rates is None:
            return every(reader, stride)
        return at_rate(reader, self.rates, stride)

    def encode(self, crop: np.ndarray) -> np.ndarray:
        """Change a crop as saving changed the training crops.

        Args:
            crop: (S, S, 3), RGB, uint8.
        """
        if (
            self.crop_options.store != 'crops'
            or self.crop_options.image != 'jpg'
        ):
            return crop
        quality = [cv2.IMWRITE_JPEG_QUALITY, self.crop_options.quality]
        bgr = cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode('.jpg', bgr, quality)
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)

    def pack(self, clips: Sequence[Sequence[np.ndarray]]) -> dict:
        """Put clips through the config's test pipeline and collate them.

        Args:
            clips: Each ``clip_len`` crops (S, S, 3), RGB, uint8.

        Returns:
            What the model's ``test_step`` takes.
        """
        return pseudo_collate([self._pack(self._item(clip)) for clip in clips])

    def score(
        self, clips: Sequence[Sequence[np.ndarray]], heat: str = 'none'
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Score clips, and say where in them.

        Args:
            clips: As in :meth:`pack`.
            heat: ``'clue'``: mean over channels of the forgery clues ``|F*|``
                of the AD block (Sec. 2.3). ``'cam'``: Grad-CAM of the class
                fake. ``'auto'``: the clue where the network has an AD block,
                else the other, if it gives a map. ``'none'``: nothing.

        Returns:
            P(fake), ``(N,)``, and maps ``(N, T, h, w)``, not negative, or
            None.

        Raises:
            DetectorError: ``'clue'`` for a network without an AD block,
                an unknown ``heat``, or a config whose clips its network
                cannot take.
        """
        kind = self.heat_kind(heat)
        with self._proving():
            return self._score(self.pack(clips), kind)

    def examine(
        self, clips: Sequence[Sequence[np.ndarray]], heat: str = 'none'
    ) -> tuple[np.ndarray, np.ndarray | None, list[Look | None]]:
        """As :meth:`score`, and say what each clip looks like."""
        kind = self.heat_kind(heat)
        with self._proving():
            data = self.pack(clips)
            looks = [look_of(inputs) for inputs in data['inputs']]
            return *self._score(data, kind), looks

    @contextmanager
    def _proving(self) -> Iterator[None]:
        """Blame the config as long as no clip has passed."""
        try:
            yield
        except (torch.OutOfMemoryError, GMLError):
            raise
        except Exception as error:
            if self._proven:
                raise
            # no clip ever passed: the config contradicts itself
            raise DetectorError(
                f'{self.checkpoint}: its network cannot take the clips that '
                f'its config makes: {one_line(error):.300}. {ANOTHER}'
            ) from error
        self._proven = True

    def _score(
        self, data: dict, kind: str
    ) -> tuple[np.ndarray, np.ndarray | None]:
        if kind == 'none':
            with torch.inference_mode():
                samples = self.model.test_step(data)
            fake = [float(sample.pred_score[1]) for sample in samples]
            return np.asarray(fake), None
        maps_of = clue_maps if kind == 'clue' else cam_maps
        scores, maps = maps_of(self.model, data)
        return scores.cpu().double().numpy(), maps.cpu().numpy()

    def heat_kind(self, heat: str) -> str:
        """Return ``'clue'``, ``'cam'`` or ``'none'`` for a choice of heat.

        Raises:
            DetectorError: An unknown choice, or one that the network does
                not give.
        """
        if heat not in HEATS:
            raise DetectorError(f'heat={heat!r}: use one of {HEATS}')
        if heat == 'clue' and not self._has_clue:
            raise DetectorError(
                f'{self.checkpoint}: its network has no AD block and '
                "no forgery clue; use heat='cam'"
            )
        if heat == 'cam' and not self._gives_maps:
            raise DetectorError(
                f'{self.checkpoint}: its network gives no map that Grad-CAM '
                "could explain; use heat='none'"
            )
        if heat != 'auto':
            return heat
        if self._has_clue:
            return 'clue'
        return 'cam' if self._gives_maps else 'none'

    def heat_ends(self, kind: str) -> tuple[float, float] | None:
        """Where heat begins to show and is full, by genuine videos.

        None where the checkpoint does not say that of this kind.
        """
        scale = self.reference and self.reference.heat
        if not scale or scale.kind != kind or scale.ends[0] >= scale.ends[1]:
            return None
        return scale.ends

    @property
    def _has_clue(self) -> bool:
        return has_clue(self.model)

    @functools.cached_property
    def _gives_maps(self) -> bool:
        """Whether Grad-CAM explains a black clip."""
        side = self.crop_options.size
        clip = [np.zeros((side, side, 3), np.uint8)] * self.clip_len
        try:
            cam_maps(self.model, self.pack([clip]))
        except LayerError:
            return False
        except Exception:  # score tells what is wrong with the config
            return True
        return True

    def _item(self, clip: Sequence[np.ndarray]) -> dict:
        return dict(
            imgs=list(clip),
            img_shape=clip[0].shape[:2],
            original_shape=clip[0].shape[:2],
            modality='RGB',
            clip_len=self.clip_len,
            num_clips=1,
            label=0,  # unknown; the pipeline packs one
            video_id='',
            track=0,
            clip_index=0,
            method='',
            source_inds=np.arange(len(clip)),
            frame_inds=np.arange(len(clip)),
        )

    @functools.cached_property
    def genuine(self) -> GenuineScores | None:
        """How high genuine tracks score; None where too few are known."""
        tracks = self.reference.tracks if self.reference else []
        if len(tracks) < LEAST_TRACKS:
            return None
        return GenuineScores(tracks, self.video_rule)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.model.parameters()).device

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
        """How well it told real from fake in its validation, if it says."""
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


def load_detector(
    checkpoint: str | Path,
    device: str | None = None,
    threshold: float | None = None,
    *,
    calibrated: bool = True,
    exported: bool = True,
) -> Detector:
    """Load a detector that ``gml train`` or ``gml export`` saved.

    The config is read from the checkpoint as values; no code in it is run
    (:func:`~gml_mmaction.io.config_text.parse_config`). A checkpoint
    that does not say how its crops were made gets what its annotations said,
    else the defaults. A side file ``NAME.calibration.json`` beside the
    checkpoint is used (``gml calibrate``).

    Args:
        checkpoint: The file.
        device: ``'cpu'``, ``'cuda:1'``; by default the best available.
        threshold: Instead of the checkpoint's.
        calibrated: Whether to use the side file.
        exported: Whether an ONNX file will do, which has no layers to look
            into.

    Raises:
        DetectorError: The file does not exist, or is a checkpoint of another
            kind; the message says what it lacks.
        BrokenCheckpointError: It is not a checkpoint, or is damaged.
        UnsafeCheckpointError: The file asks for more than tensors.
    """
    path = Path(checkpoint)
    make: Callable[..., Detector]
    loaded: Any
    if path.suffix.lower() in ('.onnx', '.pt2'):
        from .exported import make_exported, read_exported

        make, loaded = make_exported, read_exported(path, exported)
    else:
        make, loaded = _make, _load(path)
    try:
        detector = make(path, loaded, device, threshold, calibrated)
        json.dumps(detector.facts, allow_nan=False)  # as each report has them
    except ConfigTextError as error:
        raise DetectorError(
            f'{path}: its config was not read: {error}. {ANOTHER}'
        ) from None
    except Exception as error:  # what a config asks for may raise anything
        if isinstance(error, GMLError) and not isinstance(error, SettingError):
            raise
        raise DetectorError(
            f'{path}: its config or its records cannot be used by this '
            f'version: {type(error).__name__}: {one_line(error):.300}. '
            f'{ANOTHER}'
        ) from error
    return detector


def _make(
    path: Path,
    loaded: Mapping[str, Any],
    device: str | None,
    threshold: float | None,
    calibrated: bool,
) -> Detector:
    sha256 = file_sha256(path)
    assert sha256 is not None  # the file was read

    def build(cfg: Config) -> BaseModel:
        with _refused(path):
            check_model(cfg.model)
        model = accelerate(_build(path, cfg, loaded))
        return model.to(_device(device)).eval()

    def calibration() -> Calibration | None:
        return read_calibration(path, sha256) if calibrated else None

    fields = detector_fields(
        path, loaded['meta'], build, calibration, threshold
    )
    return Detector(sha256=sha256, **fields)


def detector_fields(
    path: Path,
    meta: Mapping[str, Any],
    build: Callable[[Config], Any],
    calibration: Callable[[], Calibration | None],
    threshold: float | None,
) -> dict[str, Any]:
    """The fields of a :class:`Detector`, checked, without its hash.

    Args:
        path: The file.
        meta: What it says of itself, not yet checked.
        build: Makes the network.
        calibration: Reads the calibration.
        threshold: As given.
    """
    cfg = parse_config(meta['cfg'])
    _check_pipeline(path, cfg)
    validation = _validation(path, meta)
    options, clip_len = _crop_options(path, cfg, meta)
    with _refused(path):
        check_pipeline(tested_set(cfg).pipeline)
        check_clips(tested_set(cfg).pipeline, clip_len)
    calibrated = calibration()
    return dict(
        model=build(cfg),
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


def _load(path: Path) -> dict:
    if not path.is_file():
        raise DetectorError(
            f'{path}: no such checkpoint. Remedy: give a .pth file of '
            'gml train'
        )
    loaded = CheckpointLoader.load_checkpoint(
        str(path), 'cpu', logger='silent'
    )
    meta = loaded.get('meta') if isinstance(loaded, dict) else None
    if not isinstance(meta, dict) or not isinstance(meta.get('cfg'), str):
        raise DetectorError(
            f'{path}: it carries no config, only weights. {ANOTHER}'
        )
    if 'state_dict' not in loaded:
        raise DetectorError(
            f'{path}: it carries no weights (state_dict). {ANOTHER}'
        )
    return loaded


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


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Refuse a config that asks for more than our detectors."""
    try:
        yield
    except ValueError as error:
        raise DetectorError(
            f'{path}: its config was not used: {error}. Remedy: give a '
            "checkpoint of this project's configs, or --import MODULE for a "
            'network of your own'
        ) from None


class _NumbersOnCpu(TorchFunctionMode):
    """Leave ``linspace`` real on the meta device.

    The host's transformers read their rates of stochastic depth from it.
    """

    def __torch_function__(
        self,
        func: Callable,
        types: Sequence[type],
        args: tuple = (),
        kwargs: dict | None = None,
    ) -> Any:
        given = kwargs or {}
        if func is torch.linspace:
            given = {'device': 'cpu', **given}
        return func(*args, **given)


def _build(path: Path, cfg: Config, loaded: Mapping) -> BaseModel:
    """Build the network, after checking that its weights fit."""
    init_default_scope('mmaction')
    settings = Config(dict(model=without_files(cfg.model)))
    try:
        state = loaded['state_dict']
        with torch.device('meta'), _NumbersOnCpu():
            plan = MODELS.build(settings.model)
        check_weights(plan, state, path)
        model = MODELS.build(settings.model)
        check_weights(model, state, path)
    except CheckpointError as error:
        raise DetectorError(str(error)) from None
    except Exception as error:  # what a config asks for may raise anything
        raise DetectorError(
            f'{path}: its network cannot be built by this version: '
            f'{one_line(error):.300}. {ANOTHER}'
        ) from None
    return model


def _device(device: str | None) -> torch.device:
    try:
        found = torch.device(device or get_device())
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0][:100]
        raise DetectorError(
            f'device {device!r}: {why}. Remedy: --device cpu, or leave it out'
        ) from None
    return found


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
    evaluators = cfg.get('test_evaluator') or []
    for item in evaluators if isinstance(evaluators, list) else [evaluators]:
        if item.get('type') == 'ForgeryMetric':
            rule = item.get('video_rule', 'mean')
            return rule if rule in VIDEO_RULES else 'mean'
    return 'mean'


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
