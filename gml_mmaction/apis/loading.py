"""From a checkpoint alone to a detector: its network and its facts."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader
from torch.overrides import TorchFunctionMode

from gml_mmaction.engine.accelerator import check_kernel
from gml_mmaction.engine.settings import network_of
from gml_mmaction.errors import (
    CheckpointError,
    DetectorError,
    GMLError,
    SettingError,
)
from gml_mmaction.evaluation.calibration import Calibration, read_calibration
from gml_mmaction.explain.shortage import telling_shortage
from gml_mmaction.host.weights import check_weights
from gml_mmaction.io.config_text import ConfigTextError
from gml_mmaction.io.files import file_sha256
from gml_mmaction.io.text import one_line
from gml_mmaction.kernels import accelerate

from .allowed import check_model
from .detector import Detector
from .detector_records import ANOTHER, checked_facts, refused

__all__ = ['load_detector']


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

    def calibration() -> Calibration | None:
        return read_calibration(path, sha256) if calibrated else None

    facts = checked_facts(path, loaded['meta'], calibration, threshold)
    with refused(path):
        check_model(facts['cfg'].model)
    model = accelerate(_build(path, facts['cfg'], loaded))
    place = _device(device)
    larger = 'a machine with more memory'
    remedy = larger if place.type == 'cpu' else '--device cpu'
    with telling_shortage(
        lambda: (
            f'{path}: {place} has too little memory for its network. '
            f'Remedy: {remedy}'
        )
    ):
        model = model.to(place).eval()
    return Detector(model=model, sha256=sha256, **facts)


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
    settings = network_of(cfg)
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
    if found.type == 'cuda':
        try:
            check_kernel()
        except SettingError as error:  # not one of the checkpoint's config
            raise DetectorError(str(error)) from None
    return found
