"""What detectors cost: parameters, multiplications, seconds and memory.

Any config with a ``model`` is measured as MMEngine's runner uses it: packed
clips of 8-bit pixels go through the model's own data preprocessor, its losses
are added up and propagated back, or its predictions are made. No weights are
loaded, since they change no cost. Shapes: N clips are ``(1, 3, T, H, W)``
each, as the pipelines pack them.
"""

import contextlib
import copy
import dataclasses
import itertools
import statistics
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from gml_mmaction import host, kernels
from gml_mmaction.errors import GMLError
from gml_mmaction.host.mixed_precision import DTYPES
from gml_mmaction.models.xception import Xception

from .shortage import ShortageError, telling_shortage

__all__ = [
    'WAYS',
    'CostError',
    'LiveTensors',
    'Setting',
    'build_detector',
    'build_model',
    'compare',
    'count_macs',
    'count_parameters',
    'fastest',
    'own_clips',
    'pack_clips',
    'peak_memory',
    'predict',
    'summarise',
    'train_step',
]


class CostError(GMLError):
    """A config that cannot be measured; the message names it."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """What every detector is measured on.

    Attributes:
        batch: Clips in a batch.
        frames: T, frames of a clip.
        size: Height and width, pixels.
        device: ``'cpu'`` or ``'cuda'``.
        amp: Autocast, ``'fp16'`` or ``'bf16'``; None for float32.
    """

    batch: int = 1
    frames: int = 8
    size: int = 224
    device: str = 'cpu'
    amp: str | None = None

    def clips(self) -> dict[str, list]:
        """One batch."""
        return pack_clips(self.batch, self.frames, self.size)

    def autocast(self) -> torch.autocast:
        """The context of forward passes."""
        if self.amp is None:
            return torch.autocast(self.device, enabled=False)
        return torch.autocast(
            self.device, dtype=getattr(torch, DTYPES[self.amp])
        )


def as_is(model: nn.Module) -> None:
    """Run the model as runners and detectors run it."""
    kernels.accelerate(model)


def channels_last(model: nn.Module) -> None:
    """Lay weights out with the channels last, too; features follow them."""
    kernels.channels_last(kernels.accelerate(model))


def contiguous(model: nn.Module) -> None:
    """Lay weights and frames out with the channels first.

    cuDNN has other kernels for it, of depth-wise convolutions above all.
    """
    kernels.plain(model)
    for p in model.parameters():
        p.data = p.data.contiguous()
    backbone: Any = getattr(model, 'backbone', None)
    if isinstance(backbone, Xception):
        backbone.layout = torch.contiguous_format


def compiled(model: BaseModel) -> None:
    """Let torch.compile have the backbone, too; it needs a C++ compiler.

    On a GPU motion blocks run by their definition: one graph.
    """
    kernels.accelerate(model)
    if next(model.parameters()).is_cuda:
        kernels.plain(model)
    model.backbone.compile()


def definition(model: nn.Module) -> None:
    """Take motion blocks by their definition."""
    kernels.plain(model)


# Ways to run the same model.
WAYS = {
    'as-is': as_is,
    'channels-last': channels_last,
    'contiguous': contiguous,
    'compile': compiled,
    'definition': definition,
}


def compare(
    configs: Sequence[str | Path],
    setting: Setting,
    rounds: int,
    ways: Sequence[str] = ('as-is',),
    own: bool = False,
) -> list[dict[str, Any]]:
    """Measure detectors side by side.

    Each round runs every detector once, so that what else the machine does
    hits all alike; a round before the first warms up. All are in memory at
    once.

    Args:
        configs: Config files.
        setting: What they are measured on.
        rounds: How often.
        ways: Of running each, keys of ``WAYS``.
        own: Whether each detector gets clips as its config tests on them.

    Returns:
        For each config and way its path, ``way``, ``frames`` and ``size`` of
        its clips, ``parameters``, ``macs`` of a clip, ``forward_s`` and
        ``train_step_s``, the seconds of each round, and ``peak_bytes``, None
        where a compiled model hides its tensors.

    Raises:
        CostError: A config cannot be built or run.
        ShortageError: The memory does not suffice.
    """
    models, rows, settings = [], [], []
    for config, way in itertools.product(map(str, configs), ways):
        with naming(config):
            given = own_clips(config, setting) if own else setting
            model = build_detector(config, given.frames)
            row: dict[str, Any] = dict(
                config=config,
                way=way,
                frames=given.frames,
                size=given.size,
                parameters=count_parameters(model),
                macs=count_macs(model, given),
                **{f'{name}_s': [] for name in STEPS},
            )
            WAYS[way](model.to(setting.device))
            models.append(model)
            rows.append(row)
            settings.append(given)
    for round_ in tqdm(
        range(rounds + 1), unit='round', leave=False, disable=None
    ):
        for model, row, given in zip(models, rows, settings):
            for name, step in STEPS.items():
                with naming(row['config']):
                    taken = seconds(step, model, given)
                if round_:  # the first warms up
                    row[f'{name}_s'].append(taken)
    for model, row, given in zip(models, rows, settings):
        hidden = row['way'] == 'compile' and setting.device == 'cpu'
        with naming(row['config']):
            row['peak_bytes'] = None if hidden else peak_memory(model, given)
    return rows


def own_clips(config: str | Path, setting: Setting) -> Setting:
    """The same setting with clips as a config tests on them."""
    dataset = Config.fromfile(config).test_dataloader.dataset
    (size,) = (
        step['size'] for step in dataset.pipeline if step.type == 'FaceCrop'
    )
    return dataclasses.replace(setting, frames=dataset.clip_len, size=size)


def fastest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a config, each step by the way that took it the least.

    Args:
        rows: Of :func:`compare`.

    Returns:
        Rows with ``forward_way`` and ``train_step_way`` in place of ``way``;
        ``peak_bytes`` is that of the training step's way.
    """
    best = []
    for config in dict.fromkeys(row['config'] for row in rows):
        own = [row for row in rows if row['config'] == config]
        row = dict(own[0])
        del row['way']
        for name in STEPS:
            quick = min(own, key=lambda r: statistics.median(r[f'{name}_s']))
            row[f'{name}_s'] = quick[f'{name}_s']
            row[f'{name}_way'] = quick['way']
        row['peak_bytes'] = quick['peak_bytes']
        best.append(row)
    return best


def summarise(
    rows: Sequence[dict[str, Any]], reference: str
) -> list[dict[str, Any]]:
    """Add medians, and the median of the ratios to the reference in a round.

    A machine that others use is slow for seconds at a time, which a ratio
    within a round feels least.

    Args:
        rows: Of :func:`compare` with one way, or of :func:`fastest`.
        reference: The config whose ratios are 1.
    """
    (base,) = (row for row in rows if row['config'] == reference)
    rows = [dict(row) for row in rows]
    for name, row in itertools.product(STEPS, rows):
        taken, units = row[f'{name}_s'], base[f'{name}_s']
        row[f'{name}_median_s'] = statistics.median(taken)
        row[f'{name}_ratio'] = statistics.median(
            own / unit for own, unit in zip(taken, units, strict=True)
        )
    return rows


@contextlib.contextmanager
def naming(config: str) -> Iterator[None]:
    """Name the config in whatever goes wrong; it may hold anything.

    Raises:
        CostError: In place of any exception but the next.
        ShortageError: The memory does not suffice.
    """
    try:
        with telling_shortage(
            lambda: (
                f'{config}: the memory does not suffice. Remedy: a '
                'smaller --batch, or fewer configs at a time'
            )
        ):
            yield
    except ShortageError:
        raise
    except GMLError as error:  # with a remedy of its own
        raise CostError(f'{config} cannot be measured: {error}') from error
    except Exception as error:
        what = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise CostError(
            f'{config} cannot be measured: {what}. Remedy: a config file, '
            'or the name of one of ours, such as baselines/xception_ffpp'
        ) from error


def build_detector(config: str | Path, frames: int) -> BaseModel:
    """Build a config's model with random weights.

    Args:
        config: Config file.
        frames: T, given to a backbone that needs it (``num_segments``).
    """
    host.prepare_run()
    cfg = Config.fromfile(config)
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    return build_model(cfg.model, frames)


def build_model(model: Any, frames: int) -> BaseModel:
    """The same of the ``model`` of a config, which is left as it is."""
    model = copy.deepcopy(model)
    if 'num_segments' in model.backbone:
        model.backbone.num_segments = frames
    torch.manual_seed(0)
    return MODELS.build(model)


def pack_clips(count: int, frames: int, size: int) -> dict[str, list]:
    """Make clips of noise as pipelines pack them: real, fake, real, ..."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, 3, frames, size, size)
    return dict(
        inputs=[
            torch.randint(256, shape, dtype=torch.uint8, generator=generator)
            for _ in range(count)
        ],
        data_samples=[
            ActionDataSample().set_gt_label(i % 2) for i in range(count)
        ],
    )


def predict(
    model: BaseModel, clips: dict[str, list], setting: Setting
) -> None:
    """Preprocess and predict, as in a test."""
    model.eval()
    with torch.no_grad(), setting.autocast():
        data = model.data_preprocessor(clips, False)
        model(**data, mode='predict')


def train_step(
    model: BaseModel, clips: dict[str, list], setting: Setting
) -> None:
    """Preprocess, add up the losses, propagate back; no optimiser."""
    model.train()
    with setting.autocast():
        data = model.data_preprocessor(clips, True)
        losses = model(**data, mode='loss')
    model.parse_losses(losses)[0].backward()
    model.zero_grad(set_to_none=True)


STEPS = dict(forward=predict, train_step=train_step)


def seconds(
    step: Callable[[BaseModel, dict[str, list], Setting], None],
    model: BaseModel,
    setting: Setting,
) -> float:
    """Wall time of one step on one batch, the device's queue included."""
    clips = setting.clips()
    wait_for(setting.device)
    start = time.perf_counter()
    step(model, clips, setting)
    wait_for(setting.device)
    return time.perf_counter() - start


def wait_for(device: str) -> None:
    """Wait until a GPU has finished its work."""
    if device == 'cuda':
        torch.cuda.synchronize()


def count_parameters(model: nn.Module) -> int:
    """Count trainable parameters, those of the head included."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def count_macs(model: BaseModel, setting: Setting) -> int:
    """Multiply-accumulate operations of the prediction of one clip.

    Counted are convolutions, matrix products and recurrent layers of the
    whole detector as they are run, in float32 on the CPU, where the model
    must be. MMEngine's ``get_model_complexity_info`` traces the backbone
    alone and adds one operation for each output of a batch norm, half a
    percent of Xception. Motion blocks are counted by their definition: a
    faster way to compute it hides work.
    """
    setting = Setting(1, setting.frames, setting.size)
    counter = FlopCounterMode(
        display=False,
        custom_mapping={
            torch.ops.aten.mkldnn_rnn_layer: rnn_flops,
        },
    )
    defined = kernels.plain(copy.deepcopy(model))
    with counter:
        predict(defined, setting.clips(), setting)
    return counter.get_total_flops() // 2


def rnn_flops(
    x_shape: Sequence[int],
    input_weight: Sequence[int],
    hidden_weight: Sequence[int],
    *_: object,
    out_shape: object = None,
    **__: object,
) -> int:
    """Count oneDNN's recurrent layer, which PyTorch's counter leaves out.

    Both matrices multiply at each step of each sequence.
    """
    steps = x_shape[0] * x_shape[1]
    matrices = (input_weight, hidden_weight)
    return 2 * steps * sum(rows * columns for rows, columns in matrices)


def peak_memory(model: BaseModel, setting: Setting) -> int:
    """Bytes that one training step needs at its peak.

    These are the tensors alive at once: parameters and buffers, activations,
    gradients. On a GPU PyTorch's allocator counts them, and with them the
    libraries' workspaces; on a CPU :class:`LiveTensors` does. Neither knows
    an optimiser's state, the CUDA context, or the scratch memory of a CPU's
    libraries.
    """
    clips = setting.clips()
    own = [*model.parameters(), *model.buffers()]
    if setting.device != 'cuda':
        with LiveTensors(own) as live:
            train_step(model, clips, setting)
        return live.peak
    wait_for(setting.device)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()  # other models are there too
    train_step(model, clips, setting)
    peak = torch.cuda.max_memory_allocated() - before
    return peak + sum(tensor.nbytes for tensor in own)


class LiveTensors(TorchDispatchMode):
    """Bytes of the tensors alive, and their peak, while it is active.

    Views share their storage, and a storage lives as long as anything holds
    it, the backward pass included. What an operator allocates and frees
    within itself is not seen.

    Args:
        present: Tensors that exist already and are counted too.
    """

    def __init__(self, present: Sequence[Tensor] = ()) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.alive: set[int] = set()
        for tensor in present:
            self.see(tensor)

    def __torch_dispatch__(
        self,
        func: Callable,
        types: Sequence[type],
        args: tuple = (),
        kwargs: dict | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.see(leaf)
        return out

    def see(self, tensor: Tensor) -> None:
        """Count a tensor's storage until it is freed."""
        storage = tensor.untyped_storage()
        key, size = id(storage), storage.nbytes()
        if key not in self.alive:
            self.alive.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.forget, key, size)

    def forget(self, key: int, size: int) -> None:
        """Subtract a freed storage."""
        self.alive.remove(key)
        self.now -= size
