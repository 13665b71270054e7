"""A detector that ``gml export`` wrote, run by ONNX Runtime.

The file is somebody else's. Its graph may hold ONNX's own operators alone,
without loops, functions and tensors in other files; its record is read as
those of a checkpoint are. The file is

    the graph, then ``gml`` (an :class:`Exported` as JSON) and ``gml.sha256``

in its ``metadata_props``; the hash, of the graph's bytes and the record, tells
a damaged file. It is no signature.

Input ``clip``: ``(T, S, S, 3)``, RGB, uint8. Outputs ``score``: P(fake), a
number; and of networks with an AD block ``heat``: ``(T, h, w)``, ``|F*|``.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch

from gml_mmaction.errors import DetectorError
from gml_mmaction.evaluation.calibration import Calibration, read_calibration
from gml_mmaction.io.records import Record, Text, decode
from gml_mmaction.io.rules import Rule, text, whole
from gml_mmaction.io.text import one_line, printable
from gml_mmaction.stack import require

from .allowed import MOST_FRAMES, PIXELS
from .detector import Detector
from .detector_records import checked_facts

__all__ = ['Exported', 'Session', 'make_exported', 'read_exported', 'sealed']

RECORD, SEAL = 'gml', 'gml.sha256'
LARGEST_RECORD = 4_000_000  # characters
LARGEST_FILE = 2**31 - 1  # bytes; ONNX has no larger one
AGAIN = 'Remedy: gml export CHECKPOINT again'
SHA256 = Rule(
    'a SHA-256 in hexadecimal',
    lambda v: type(v) is str and len(v) == 64 and not set(v) - set(_HEX),
)
_HEX = '0123456789abcdef'


class Meta(Record, frozen=True, kw_only=True):
    """What the checkpoint said of itself, as far as a detector needs it.

    Attributes:
        cfg: The text of its config.
        iter: Iterations of the training.
        provenance: Training, validation, initialisation.
        dataset_meta: What older checkpoints say of their data.
    """

    cfg: Annotated[str, text(1_000_000)]
    iter: int | None = None
    provenance: dict[str, Any] = {}
    dataset_meta: dict[str, Any] | None = None


class Exported(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The record in the file.

    Attributes:
        format: Of this record; 1.
        version: Of the package that wrote it.
        checkpoint: Name of the file that was exported.
        sha256: Of that file.
        classes: Of the network.
        clip_len: T.
        size: S.
        meta: What the checkpoint said.
        calibration: From its side file, if there was one.
        facts: What reports say of the detector, for other programs; this
            one finds them anew.
    """

    format: Annotated[int, whole(1, 1)]
    version: Text
    checkpoint: Text
    sha256: Annotated[str, SHA256]
    classes: list[Text]
    clip_len: Annotated[int, whole(1, MOST_FRAMES)]
    size: Annotated[int, whole(1, PIXELS)]
    meta: Meta
    calibration: Calibration | None
    facts: dict[str, Any]


class Session:
    """A graph, ready to score clips on the CPU, with PyTorch's threads.

    Args:
        data: The file.
        name: Of the file, for errors.

    Raises:
        DetectorError: ONNX Runtime cannot use it.
    """

    def __init__(self, data: bytes, name: str | Path) -> None:
        runtime = require('onnxruntime')
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors come as exceptions
        # idle threads would take the time of decoding and searching
        spinning = 'session.intra_op.allow_spinning'
        options.add_session_config_entry(spinning, '0')
        self._name = name
        try:
            self._session = runtime.InferenceSession(
                data,
                options,
                providers=['CPUExecutionProvider'],
                enable_fallback=False,  # which prints what the file says
                read_config_from_model=False,
            )
        except Exception as error:  # of its own kinds
            raise DetectorError(
                f'{name}: ONNX Runtime cannot use its graph '
                f'({one_line(error):.200}). {AGAIN}'
            ) from None
        self.gives_heat = len(self._session.get_outputs()) > 1

    def __call__(self, clip: np.ndarray) -> tuple[float, np.ndarray | None]:
        """Score a clip, and say where in it.

        Args:
            clip: ``(T, S, S, 3)``, RGB, uint8.

        Returns:
            P(fake), and ``(T, h, w)``, not negative, or None.

        Raises:
            DetectorError: The graph fails, or gives something else.
        """
        try:
            score, *heat = self._session.run(None, {'clip': clip})
        except Exception as error:
            raise DetectorError(
                f'{self._name}: its graph failed ({one_line(error):.200}). '
                f'{AGAIN}'
            ) from None
        if np.size(score) != 1 or not -1e-4 <= float(score) <= 1 + 1e-4:
            raise DetectorError(
                f'{self._name}: what its graph gives is no score. {AGAIN}'
            )
        maps = heat[0] if heat else None
        if maps is not None and not _is_heat(maps, len(clip)):
            raise DetectorError(
                f'{self._name}: what its graph gives is no heat map. {AGAIN}'
            )
        return float(np.clip(score, 0, 1)), maps


def _is_heat(maps: np.ndarray, count: int) -> bool:
    return (
        maps.ndim == 3
        and len(maps) == count
        and max(maps.shape) <= PIXELS
        and bool(np.isfinite(maps).all())
        and bool((maps >= 0).all())
    )


class ExportedDetector(Detector):
    """A detector whose network is a graph; ``model`` is a :class:`Session`."""

    source: Mapping[str, str]

    def _score(
        self, data: dict, kind: str
    ) -> tuple[np.ndarray, np.ndarray | None]:
        clips = [as_crops(item).numpy() for item in data['inputs']]
        found = [self.model(np.ascontiguousarray(clip)) for clip in clips]
        scores = np.asarray([score for score, _ in found])
        if kind == 'none':
            return scores, None
        return scores, np.stack([maps for _, maps in found])

    def heat_kind(self, heat: str) -> str:
        if heat == 'cam':
            raise DetectorError(
                f'{self.checkpoint}: an exported network has no gradients for '
                'Grad-CAM. Remedy: the .pth file, or another --heat'
            )
        return super().heat_kind(heat)

    @property
    def _has_clue(self) -> bool:
        return self.model.gives_heat

    _gives_maps = False

    @property
    def device(self) -> torch.device:
        return torch.device('cpu')

    @property
    def facts(self) -> dict[str, Any]:
        """What a report says, with the checkpoint that was exported."""
        return {**super().facts, 'exported_from': self.source}


def as_crops(packed: torch.Tensor) -> torch.Tensor:
    """Crops ``(T, S, S, 3)`` of a clip ``(1, 3, T, S, S)``."""
    return packed[0].permute(1, 2, 3, 0)


class Contents(NamedTuple):
    """A file that was read and checked."""

    record: Exported
    data: bytes


def read_exported(path: Path, allowed: bool = True) -> Contents:
    """Read a file of ``gml export`` and check all that it says.

    Args:
        path: The file.
        allowed: Whether an exported detector will do.

    Raises:
        DetectorError: It is not such a file, or damaged, or asks for more
            than a network; or none will do.
    """
    if path.suffix.lower() == '.pt2':
        raise DetectorError(
            f'{path}: .pt2 files are written for other programs and not '
            'read: their loader evaluates text. Remedy: the .pth or .onnx file'
        )
    if not allowed:
        raise DetectorError(
            f'{path}: an exported network has no layers to look into. '
            'Remedy: the .pth file'
        )
    if not path.is_file():
        raise DetectorError(
            f'{path}: no such file. Remedy: give a file of gml export'
        )
    if path.stat().st_size > LARGEST_FILE:
        raise DetectorError(f'{path}: too large for an ONNX file. {AGAIN}')
    data = path.read_bytes()
    try:
        model = require('onnx').ModelProto.FromString(data)
    except ImportError:
        raise
    except Exception:  # of protobuf's own kinds
        raise DetectorError(
            f'{path}: not an ONNX file, or a damaged one. {AGAIN}'
        ) from None
    try:
        check_graph(model)
        return Contents(_record(model, data), data)
    except ValueError as error:
        raise DetectorError(
            f'{path} was not used: {error!s:.300}. {AGAIN}'
        ) from None


def make_exported(
    path: Path,
    loaded: Contents,
    device: str | None,
    threshold: float | None,
    calibrated: bool,
) -> Detector:
    """Make a detector of what was read; arguments as those of a checkpoint.

    A calibration beside the file, else the one in it, is used if it is of the
    checkpoint that was exported.
    """
    record = loaded.record
    if device not in (None, 'cpu'):
        raise DetectorError(
            f'device {device!r}: an exported network runs on the CPU. '
            'Remedy: --device cpu, or the .pth file'
        )

    def calibration() -> Calibration | None:
        if not calibrated:
            return None
        return read_calibration(path, record.sha256) or record.calibration

    meta = {
        name: getattr(record.meta, name) for name in Meta.__struct_fields__
    }
    facts = checked_facts(path, meta, calibration, threshold)
    network: Any = Session(loaded.data, path)
    found = ExportedDetector(
        model=network,
        sha256=hashlib.sha256(loaded.data).hexdigest(),
        **facts,
    )
    found.source = dict(checkpoint=record.checkpoint, sha256=record.sha256)
    return found


def sealed(graph: Any, record: bytes) -> bytes:
    """A file of a graph without metadata, and a record."""
    body = graph.SerializeToString()
    return body + _tail(
        {
            RECORD: record.decode(),
            SEAL: hashlib.sha256(body + record).hexdigest(),
        }
    )


def _tail(properties: Mapping[str, str]) -> bytes:
    """Metadata as the end of a file: such messages are joined by appending."""
    onnx = require('onnx')
    entries = [
        onnx.StringStringEntryProto(key=key, value=value)
        for key, value in properties.items()
    ]
    return onnx.ModelProto(metadata_props=entries).SerializeToString()


def _record(model: Any, data: bytes) -> Exported:
    """The record of a file, if it is whole.

    Raises:
        ValueError: It is not.
    """
    properties = {item.key: item.value for item in model.metadata_props}
    record = properties.get(RECORD)
    if record is None:
        raise ValueError('it lacks the record of gml export')
    if len(record) > LARGEST_RECORD:
        raise ValueError('its record is too long')
    tail = _tail(properties)
    body = data.removesuffix(tail)
    seal = hashlib.sha256(body + record.encode()).hexdigest()
    if len(body) == len(data) or properties.get(SEAL) != seal:
        raise ValueError('it is damaged, or was changed after its export')
    found = decode(record, Exported)
    clip = [found.clip_len, found.size, found.size, 3]
    (given,) = model.graph.input
    sizes = [one.dim_value for one in given.type.tensor_type.shape.dim]
    if sizes != clip:
        raise ValueError(f'its clips are {sizes}, expected {clip}')
    return found


def check_graph(model: Any) -> None:
    """Check that a graph is all there is, and of ONNX's operators alone.

    Args:
        model: ``onnx.ModelProto``.

    Raises:
        ValueError: It is not.
    """
    graph = model.graph
    domains = [item.domain for item in model.opset_import]
    domains += [node.domain for node in graph.node]
    for domain in domains:
        if domain not in ('', 'ai.onnx'):
            raise ValueError(
                'it has operators that are not of ONNX itself '
                f'({printable(domain):.60})'
            )
    if model.functions or model.training_info:
        raise ValueError('it has functions of its own')
    if graph.sparse_initializer:
        raise ValueError('it has sparse tensors')
    for node in graph.node:
        if any(item.HasField('g') or item.graphs for item in node.attribute):
            raise ValueError(
                f'it has a branch or a loop ({printable(node.op_type):.60})'
            )
    if any(one.data_location or one.external_data for one in _tensors(graph)):
        raise ValueError('it has tensors in other files')
    names = [item.name for item in graph.input]
    given = [item.name for item in graph.output]
    if names != ['clip'] or given not in (['score'], ['score', 'heat']):
        raise ValueError(
            'it does not take a clip and give a score '
            f'({printable(names):.60}, {printable(given):.60})'
        )


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for item in node.attribute:
            yield from item.tensors
            if item.HasField('t'):
                yield item.t
            if item.HasField('sparse_tensor') or item.sparse_tensors:
                raise ValueError('it has sparse tensors')
