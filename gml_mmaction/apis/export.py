"""A detector as one file for other programs: ONNX, or PyTorch's .pt2.

The graph takes crops as they are cut out and gives P(fake): the normalisation
is inside. What it takes and gives, and what the file says of itself, is in
:mod:`.exported`, which reads it.
"""

import contextlib
import io
import json
import logging
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmaction.models.data_preprocessors import data_preprocessor
from mmaction.structures import ActionDataSample
from torch import Tensor, nn

from gml_mmaction.errors import DetectorError
from gml_mmaction.explain.feature_maps import clue_maps, has_clue
from gml_mmaction.io.files import write_bytes
from gml_mmaction.io.records import as_json
from gml_mmaction.io.text import one_line, printable
from gml_mmaction.kernels import plain
from gml_mmaction.stack import require
from gml_mmaction.version import __version__

from .detector import Detector
from .exported import Exported, Meta, Session, as_crops, check_graph, sealed
from .loading import load_detector

__all__ = ['Export', 'export', 'race']

KINDS = ('.onnx', '.pt2')
CLOSE = 1e-4  # of scores; of heat, as a share of its highest
CLASSES = ['real', 'fake']


class Export(NamedTuple):
    """A file that was written.

    Attributes:
        path: Of the file.
        clip_len: T.
        size: S.
        heat: Whether it gives a map, too.
        difference: The largest from PyTorch's scores, on some clips.
    """

    path: Path
    clip_len: int
    size: int
    heat: bool
    difference: float


def export(checkpoint: str | Path, out: str | Path | None = None) -> Export:
    """Write the detector of a checkpoint as one file.

    It is written only if its scores are those of PyTorch.

    Args:
        checkpoint: A .pth file of ``gml train``.
        out: The file, ``.onnx`` or ``.pt2``; by default beside the
            checkpoint, ``.onnx``.

    Raises:
        DetectorError: The network has parts that the file cannot hold, or
            gives other scores.
        OSError: The file cannot be written.
    """
    path = Path(out or Path(checkpoint).with_suffix('.onnx'))
    if path.suffix not in KINDS:
        raise DetectorError(
            f'{path}: another kind of file. Remedy: use a name '
            'that ends in .onnx or .pt2'
        )
    if path.suffix == '.onnx':
        for name in ('onnx', 'onnxruntime', 'onnxscript'):
            require(name)
    detector = load_detector(checkpoint, 'cpu', exported=False)
    clips = _clips_to_try(detector)
    heat = 'clue' if has_clue(detector.model) else 'none'
    expected = detector.score([list(clip) for clip in clips], heat)
    size = _size(detector)
    network = _Network(detector).eval()
    record = json.dumps(as_json(_record(detector, size)), allow_nan=False)
    example = torch.zeros(detector.clip_len, size, size, 3, dtype=torch.uint8)
    with torch.no_grad(), _followed(path):
        program = torch.export.export(network, (example,), strict=False)
        for node in program.graph.nodes:  # this machine's paths
            node.meta.pop('stack_trace', None)
        if path.suffix == '.onnx':
            data = sealed(_onnx_of(program), record.encode())
            score: Any = Session(data, path)
        else:
            data = _pt2_of(program, record)
            score = program.module()
    fed = [
        as_crops(item).contiguous()
        for item in detector.pack([list(clip) for clip in clips])['inputs']
    ]
    found = [_run(score, clip) for clip in fed]
    difference = _compare(path, found, expected)
    write_bytes(path, data)
    return Export(path, detector.clip_len, size, heat == 'clue', difference)


class _Network(nn.Module):
    """A clip ``(T, S, S, 3)``, uint8, to P(fake) and its clue, if any.

    It runs what a test runs: the host's preprocessor and ``predict``.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.model = plain(detector.model)
        self.clue = has_clue(detector.model)

    def forward(self, clip: Tensor) -> tuple[Tensor, ...]:
        packed = clip.permute(3, 0, 1, 2)[None]
        data = dict(inputs=[packed], data_samples=[ActionDataSample()])
        if self.clue:
            scores, maps = clue_maps(self.model, data)
            return scores[0], maps[0]
        (sample,) = self.model.test_step(data)
        return (sample.pred_score[1].float(),)


@contextlib.contextmanager
def _followed(path: Path) -> Iterator[None]:
    """Let PyTorch follow a network, quietly; say in a line what it cannot.

    The host pads clips to one size, which it finds by computing with tensors:
    that cannot be followed, and one clip needs no padding.
    """
    pads = data_preprocessor.stack_batch
    data_preprocessor.stack_batch = torch.stack
    quiet = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    except (DetectorError, ImportError):
        raise
    except Exception as error:  # PyTorch raises many kinds
        raise DetectorError(
            f'{path} was not written: {_why(error)}'
        ) from error
    finally:
        logging.disable(quiet)
        data_preprocessor.stack_batch = pads


def _why(error: Exception) -> str:
    missing = r"No ONNX function found for <OpOverload\(op='(.+?)'"
    lacks = re.search(missing, str(error))
    if lacks:
        return (
            f'PyTorch cannot write {lacks[1]} of its network as ONNX. '
            'Remedy: a name that ends in .pt2, or gml predict with the .pth '
            'file'
        )
    return (
        f'PyTorch cannot follow its network ({one_line(error):.200}). '
        'Remedy: gml predict with the .pth file'
    )


def _onnx_of(program: torch.export.ExportedProgram) -> Any:
    """The graph as ``onnx.ModelProto``, without notes of the exporter."""
    from onnxscript import optimizer, rewriter
    from onnxscript.rewriter.rules import common

    names = ['score', 'heat']
    count = len(program.graph_signature.user_outputs)
    made = torch.onnx.export(
        program,
        dynamo=True,
        optimize=False,
        verbose=False,
        input_names=['clip'],
        output_names=names[:count],
    )
    assert made is not None  # it is, of dynamo
    # Not all that onnxscript can do: it takes x + 1e-15 for x, too.
    optimizer.fold_constants(made.model)
    rewriter.rewrite(made.model, [common.remove_optional_bias_from_conv_rule])
    model = made.model_proto
    graph = model.graph
    for part in (
        *(model, graph, *graph.node, *graph.input, *graph.output),
        *(*graph.value_info, *graph.initializer),
    ):
        part.ClearField('metadata_props')
        part.ClearField('doc_string')
    check_graph(model)
    return model


def _pt2_of(program: torch.export.ExportedProgram, record: str) -> bytes:
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={'gml.json': record})
    return file.getvalue()


def _record(detector: Detector, size: int) -> Exported:
    meta = {
        name: detector.meta[name]
        for name in Meta.__struct_fields__
        if name in detector.meta
    }
    return Exported(
        format=1,
        version=__version__,
        checkpoint=printable(detector.checkpoint.name),
        sha256=detector.sha256,
        classes=CLASSES,
        clip_len=detector.clip_len,
        size=size,
        meta=Meta(**meta),
        calibration=detector.calibration,
        facts=detector.facts,
    )


def _size(detector: Detector) -> int:
    """S: the side of what the network takes."""
    side = detector.crop_options.size
    clip = [np.zeros((side, side, 3), np.uint8)] * detector.clip_len
    (packed,) = detector.pack([clip])['inputs']
    shape = list(packed.shape)
    size = shape[-1]
    if shape != [1, 3, detector.clip_len, size, size]:
        raise DetectorError(
            f'{detector.checkpoint}: its pipeline packs clips as {shape}. '
            "Remedy: dict(type='FormatShape', input_format='NCTHW')"
        )
    return size


def _clips_to_try(detector: Detector) -> np.ndarray:
    """Noise, noise of few grey levels, a slope that moves, and black."""
    side, length = detector.crop_options.size, detector.clip_len
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, length, side, side, 3))
    noise[1] //= 16
    rows = np.arange(side)[:, None] + np.arange(side)
    slope = (rows + 5 * np.arange(length)[:, None, None])[..., None] % 256
    whole = np.broadcast_to(slope, (length, side, side, 3))
    return np.stack([*noise, whole, 0 * whole]).astype(np.uint8)


def race(
    checkpoint: str | Path, exported: str | Path, rounds: int
) -> list[tuple[float, float]]:
    """CPU seconds for a clip, of the checkpoint and of the file, in turn.

    Scores alone, without heat; the first round is left out.
    """
    runners = [load_detector(path, 'cpu') for path in (checkpoint, exported)]
    (clip, *_) = _clips_to_try(runners[0])
    found = []
    for _ in range(rounds + 1):
        both = []
        for detector in runners:
            began = time.process_time()
            detector.score([list(clip)])
            both.append(time.process_time() - began)
        found.append((both[0], both[1]))
    return found[1:]


def _run(score: Any, clip: Tensor) -> tuple[float, np.ndarray | None]:
    if isinstance(score, Session):
        return score(clip.numpy())
    with torch.no_grad():
        value, *heat = score(clip)
    return float(value), heat[0].numpy() if heat else None


def _compare(path: Path, found: Any, expected: Any) -> float:
    """The largest difference of scores, if all are close."""
    scores, maps = expected
    off = max(abs(one - two) for (one, _), two in zip(found, scores))
    far = 0.0
    if maps is not None:
        heat = np.stack([one for _, one in found])
        far = float(np.abs(heat - maps).max() / max(maps.max(), 1e-12))
    if not (off <= CLOSE and far <= CLOSE):
        raise DetectorError(
            f'{path} was not written: its scores differ from those of PyTorch '
            f'by {off:.1e}, its heat by {far:.1e}. Remedy: gml predict with '
            'the .pth file'
        )
    return float(off)
