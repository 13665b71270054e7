"""What detectors cost: parameters, GMACs, seconds, memory, in one table.

Any configs are compared with a reference, plain frame-wise Xception unless
another is named; without configs, the blocks of the paper and GML. Every
round runs each detector once, so that other load on the machine affects all
alike: trust the ratios, not the seconds. Nothing is loaded or downloaded, and
no data set is read.

Usage::

    gml benchmark
    gml benchmark configs/baselines/*_ffpp.py --batch 2
    gml benchmark CONFIG --reference CONFIG --device cuda --amp bf16
    gml benchmark ablation/xception-mcb_ffpp --ways as-is compile
    gml benchmark --estimate --batch 16

Configs are files, or their names in configs/. With several ways to run them
each detector's fastest counts, for either step.
"""

import argparse
import dataclasses
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from gml_mmaction.engine.config_check import check_config, read_settings
from gml_mmaction.engine.settings import network_of
from gml_mmaction.explain.cost import (
    WAYS,
    Setting,
    compare,
    fastest,
    naming,
    own_clips,
    summarise,
)
from gml_mmaction.explain.estimate import estimate
from gml_mmaction.host.mixed_precision import DTYPES
from gml_mmaction.io.files import write_json, write_text
from gml_mmaction.io.text import markdown_table, say
from gml_mmaction.kernels import library

from .common import CONFIGS, add_import_option, config_file, import_modules

REFERENCE = CONFIGS / 'baselines/xception_ffpp.py'
BLOCKS = [
    CONFIGS / 'ablation/xception-cstm_ffpp.py',
    CONFIGS / 'ablation/xception-stm_ffpp.py',
    CONFIGS / 'ablation/xception-mcb_ffpp.py',
    CONFIGS / 'gml_xception_ffpp.py',
]
CAPTION = """\
{clips}, \
labels real and fake in turn; {precision} on {machine}, PyTorch {torch}.

* Parameters: trainable, backbone and head.
* GMACs: multiplications of convolutions, matrix products and recurrent \
layers when the whole detector predicts one clip.
* Seconds: medians of {rounds} interleaved rounds; ratios: medians of those \
to {reference} in the same round. Forward: preprocessing and prediction. \
Training step: preprocessing, losses, backward pass, without the optimiser.
* Peak memory of a training step: {memory}, without the optimiser's state.
* {how}
"""
ESTIMATED = """\
{clips}; {precision}. **Computed, not measured**: every tensor that an \
operator reads or writes counts once, a batch norm's second look does not. \
Motion blocks by their definition; without preprocessing, losses and optimiser.
"""
MEMORY = {
    'cpu': 'all tensors alive at once (parameters, activations, gradients), '
    'without the scratch memory of libraries',
    'cuda': "what PyTorch's allocator gave out at once (parameters, "
    'activations, gradients, workspaces), without the CUDA context',
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        'configs',
        nargs='*',
        type=config_file,
        default=BLOCKS,
        metavar='CONFIG',
        help='config files',
    )
    add('--reference', type=config_file, default=REFERENCE, metavar='CONFIG')
    add(
        '--batch',
        type=int,
        default=1,
        help='clips in a batch; from 2 on it has both labels',
    )
    add('--frames', type=int, default=8, help='frames of a clip')
    add('--size', type=int, default=224, help='pixels')
    add(
        '--own-clips',
        action='store_true',
        help='frames and pixels that each config tests on, instead',
    )
    add(
        '--rounds',
        type=int,
        default=7,
        help='rounds that count, after one that warms up',
    )
    add('--threads', type=int, help="CPU threads, instead of PyTorch's number")
    add('--device', choices=MEMORY, default='cpu')
    add(
        '--ways',
        nargs='+',
        choices=WAYS,
        default=['as-is'],
        help='ways to run each detector; the fastest counts',
    )
    add('--amp', choices=[*DTYPES], help='mixed precision; a CPU has no fp16')
    add(
        '--estimate',
        action='store_true',
        help='run nothing: compute the bytes, launches and memory of a step',
    )
    add('--json', type=Path, help='file to write the numbers to')
    add('--markdown', type=Path, help='file to write the table to')
    add_import_option(parser)
    args = parser.parse_args(argv)
    for name in ('batch', 'frames', 'size', 'rounds'):
        if getattr(args, name) < 1:
            parser.error(f'--{name} must be at least 1')
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error(
            '--device cuda: PyTorch sees no GPU. Remedy: --device cpu'
        )
    if args.device == 'cpu' and args.amp == 'fp16':
        parser.error('--amp fp16: a CPU computes in bf16. Remedy: --amp bf16')
    return args


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Print the table; returns what ``--json`` writes."""
    args = parse_args(argv)
    import_modules(args)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True  # as in default_runtime.py
    setting = Setting(
        args.batch, args.frames, args.size, args.device, args.amp
    )
    reference = args.reference.resolve()
    others = [path for path in args.configs if path.resolve() != reference]
    configs = [args.reference, *others]
    check_models(configs)
    if args.estimate:
        return write_result(args, *estimate_all(configs, setting, args))
    rows = compare(configs, setting, args.rounds, args.ways, args.own_clips)
    result = {
        **vars(setting),
        'own_clips': args.own_clips,
        'rounds': args.rounds,
        'machine': machine(args.device),
        'torch': torch.__version__,
        'reference': str(args.reference),
        'ways': args.ways,
        'native': library.ready(),
        'rows': summarise(fastest(rows), str(args.reference)),
        'all_rows': rows,
    }
    return write_result(args, result, format_result(result))


def check_models(configs: Sequence[Path]) -> None:
    """Refuse configs whose networks cannot be built."""
    for config in map(str, configs):
        with naming(config):
            check_config(network_of(read_settings(config)), ['model'])


def write_result(
    args: argparse.Namespace, result: dict[str, Any], text: str
) -> dict[str, Any]:
    """Print the table, write what is to be written; return the result."""
    say(*text.split('\n'))
    if args.json:
        write_json(args.json, result)
    if args.markdown:
        write_text(args.markdown, text + '\n')
    return result


def estimate_all(
    configs: Sequence[Path], setting: Setting, args: argparse.Namespace
) -> tuple[dict[str, Any], str]:
    """What detectors move and hold, as numbers and as a table."""
    rows = []
    for config in map(str, configs):
        with naming(config):
            given = own_clips(config, setting) if args.own_clips else setting
            cost = estimate(Config.fromfile(config).model, given)
        rows.append(dict(config=config, **dataclasses.asdict(cost)))
    result = {**vars(setting), 'own_clips': args.own_clips, 'rows': rows}
    head = ['config', 'forward (GB)', 'ratio', 'launches']
    head += ['training step (GB)', 'ratio', 'launches', 'peak memory (GiB)']
    table = [head]
    for row in rows:
        line = [f'`{short_name(row["config"])}`']
        for name in ('forward', 'step'):
            moved = row[name]['bytes']
            line += [f'{moved / 1e9:.1f}']
            line += [f'{moved / rows[0][name]["bytes"]:.2f}']
            line += [f'{row[name]["launches"]}']
        table.append([*line, f'{row["step"]["peak"] / 2**30:.1f}'])
    caption = ESTIMATED.format(
        clips=describe_clips(result), precision=precision(setting.amp)
    )
    return result, f'{caption}\n' + '\n'.join(markdown_table(table))


def precision(amp: str | None) -> str:
    """``'bf16'`` -> bfloat16 autocast."""
    return f'{DTYPES[amp]} autocast' if amp else 'float32'


def machine(device: str) -> str:
    """The GPU, or the processor and how many threads were used."""
    if device == 'cuda':
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f'{threads} CPU thread{"s" * (threads > 1)} ({platform.machine()})'


def format_result(result: dict[str, Any]) -> str:
    """Lay a result out in Markdown: what was measured, then the table."""
    caption = CAPTION.format(
        **{**result, 'reference': f'`{short_name(result["reference"])}`'},
        precision=precision(result['amp']),
        memory=MEMORY[result['device']],
        how=describe_ways(result),
        clips=describe_clips(result),
    )
    return f'{caption}\n{format_rows(result["rows"], result["own_clips"])}'


def describe_clips(result: dict[str, Any]) -> str:
    """What a batch is."""
    if result['own_clips']:
        return (
            f'{result["batch"]} clips, as long and large as those that each '
            'config tests on'
        )
    shape = '{batch} x 3 x {frames} x {size} x {size}'.format(**result)
    return f'{shape} (clips, channels, frames, pixels)'


def describe_ways(result: dict[str, Any]) -> str:
    """How the detectors were run, and which way was whose fastest."""
    kernel = 'with' if result['native'] else 'without'
    text = f'Motion blocks {kernel} the compiled CPU kernel.'
    if len(result['ways']) == 1:
        return f'{text} Run {result["ways"][0]}.'
    fastest_of = '; '.join(
        f'`{short_name(row["config"])}` {row["forward_way"]} (forward), '
        f'{row["train_step_way"]} (training step)'
        for row in result['rows']
    )
    return f'{text} The fastest way of each: {fastest_of}.'


def format_rows(rows: Sequence[dict[str, Any]], own_clips: bool) -> str:
    """One line for each detector; with its clips, if each has its own."""
    head = ['config', *['clip'] * own_clips, 'parameters (M)', 'GMACs']
    head += ['forward (s)', 'ratio', 'training step (s)', 'ratio']
    head += ['peak memory (MiB)']
    table = [head]
    table += [
        [
            f'`{short_name(row["config"])}`',
            *[f'{row["frames"]} x {row["size"]}²'] * own_clips,
            f'{row["parameters"] / 1e6:.2f}',
            f'{row["macs"] / 1e9:.2f}',
            f'{row["forward_median_s"]:.3f}',
            f'{row["forward_ratio"]:.2f}',
            f'{row["train_step_median_s"]:.3f}',
            f'{row["train_step_ratio"]:.2f}',
            f'{row["peak_bytes"] / 2**20:.0f}' if row['peak_bytes'] else '',
        ]
        for row in rows
    ]
    return '\n'.join(markdown_table(table))


def short_name(config: str) -> str:
    """``configs/baselines/xception_ffpp.py`` -> baselines/xception_ffpp."""
    parts = Path(config).with_suffix('').parts
    if 'configs' in parts:
        return '/'.join(parts[parts.index('configs') + 1 :])
    return parts[-1]
