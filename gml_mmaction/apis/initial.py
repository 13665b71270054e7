"""A detector of random weights, to try speed and installation."""

import dataclasses
import io
import sys
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from gml_mmaction.engine.config_check import naming_settings
from gml_mmaction.engine.initial_weights import Initial
from gml_mmaction.engine.provenance import PROVENANCE
from gml_mmaction.engine.settings import crop_side, network_of
from gml_mmaction.faces import CropOptions
from gml_mmaction.io.files import write_bytes
from gml_mmaction.io.held import HeldOutput
from gml_mmaction.io.records import as_json

__all__ = ['ORIGIN', 'write_initial']

ORIGIN = 'nothing: its weights are random, and its scores mean nothing'
RATE = 12.5  # every 2nd frame of 25 a second


def write_initial(cfg: Config, out: str | Path, seed: int = 0) -> None:
    """Write a checkpoint of a network that was not trained, which says so.

    Args:
        cfg: Of a detector.
        out: The checkpoint to write.
        seed: Of the weights.

    Raises:
        SettingError: The network cannot be built, or the config has no test
            pipeline that cuts faces.
    """
    init_default_scope('mmaction')
    torch.manual_seed(seed)
    settings = network_of(cfg)
    with naming_settings(settings, ['model'], HeldOutput(sys.stdout)):
        model = MODELS.build(settings.model)
    training = dict(
        origin=ORIGIN,
        **dataclasses.asdict(CropOptions(size=crop_side(cfg))),
        rates=dict(low=RATE, median=RATE, high=RATE),
    )
    records = dict(training=training, initial=as_json(Initial(seed=seed)))
    meta = {'cfg': cfg.pretty_text, PROVENANCE: records}
    saved = io.BytesIO()
    torch.save(dict(meta=meta, state_dict=model.state_dict()), saved)
    write_bytes(out, saved.getvalue())
