"""What decides the design on a GPU: layouts first, then whole networks.

Usage::

    python tests/gpu/bench.py layouts OUT.json --seconds 60
    python tests/gpu/bench.py systems OUT.json --seconds 140

Every row is written as soon as it is measured; what the seconds do not
suffice for is left out, the least important last. ``--device cpu`` tries the
script, on tiny sizes. No GPU has run it yet.
"""

import argparse
import importlib.util
import itertools
import json
import os
import time
from pathlib import Path

import torch
from torch import nn

from gml_mmaction.explain.cost import (
    WAYS,
    Setting,
    build_detector,
    peak_memory,
    predict,
    train_step,
    wait_for,
)
from gml_mmaction.host.mixed_precision import DTYPES
from gml_mmaction.kernels import accelerate
from gml_mmaction.models import CSTM, MCB

REPO = Path(__file__).parents[2]
# Channels and pixels of a side of Xception's depth-wise convolutions.
MAPS = [(728, 14), (728, 28), (128, 109), (256, 55), (1536, 7)]
SYSTEMS = [
    *('baselines/xception', 'ablation/xception-mcb', 'gml_xception'),
    *('baselines/r3d_r18', 'baselines/i3d_r50', 'baselines/c3d'),
    'baselines/tsn_r50',
]
PAIR = SYSTEMS[:2]


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('what', choices=['layouts', 'systems'])
    parser.add_argument('out', type=Path)
    parser.add_argument('--seconds', type=float, default=100)
    parser.add_argument('--device', choices=['cuda', 'cpu'], default='cuda')
    return parser.parse_args()


def milliseconds(step, device, least=5, most=0.3):
    """The mean of ``least`` steps or more, up to ``most`` seconds."""
    for _ in range(1 if device == 'cpu' else 3):
        step()
    wait_for(device)
    count, start = 0, time.perf_counter()
    while count < least or time.perf_counter() - start < most:
        step()
        count += 1
        if device == 'cpu':
            break
        if count % least == 0:
            wait_for(device)
    wait_for(device)
    return (time.perf_counter() - start) * 1e3 / count


def shifted(x, kernel, length):
    """CSTM's 3x1x1 convolution as three products."""
    frames, channels, height, width = x.shape
    clips = x.permute(0, 2, 3, 1).reshape(-1, length, height * width, channels)
    weight = kernel[:, 0, :, 0].t()
    padded = nn.functional.pad(clips, (0, 0, 0, 0, 1, 1))
    mixed = padded[:, :-2] * weight[0] + padded[:, 1:-1] * weight[1]
    mixed = mixed + padded[:, 2:] * weight[2]
    return mixed.reshape(frames, height, width, channels).permute(0, 3, 1, 2)


def layouts(device):
    """Depth-wise convolutions and a block, by layout and type."""
    small = device == 'cpu'
    types = [torch.float32, torch.bfloat16] + [torch.float16] * (not small)
    formats = dict(NHWC=torch.channels_last, NCHW=torch.contiguous_format)
    for dtype, (channels, size), layout in itertools.product(
        types, MAPS, formats
    ):
        torch._dynamo.reset()  # past 8 forms it no longer compiles
        frames = 8 if small else 128
        side = 3 if small else size
        made = dict(device=device, dtype=dtype)
        x = torch.randn(frames, channels, side, side, **made)
        x = x.contiguous(memory_format=formats[layout]).requires_grad_()
        grad = torch.randn_like(x)
        cstm = CSTM(channels, 8).to(**made).to(memory_format=formats[layout])
        block = MCB(channels, 8).to(**made).to(memory_format=formats[layout])
        fast = accelerate(MCB(channels, 8).to(**made))
        kernel = cstm.temporal.weight
        compiled = torch.compile(shifted)
        steps = {
            'temporal': cstm.fuse_frames,
            'spatial': cstm.spatial,
            'shift': lambda x, k=kernel: shifted(x, k, 8),
            'block': block,
        }
        if layout == 'NHWC':
            steps['block, operators'] = fast
        if not small:
            steps['shift, compiled'] = lambda x, k=kernel, f=compiled: f(
                x, k, 8
            )
        row = dict(channels=channels, size=side, layout=layout)
        row['dtype'] = str(dtype).removeprefix('torch.')
        row['copy'] = milliseconds(lambda x=x: x.detach().clone(), device)
        for name, step in steps.items():
            row |= both(name, step, x, grad, device)
        if layout == 'NHWC' and has_triton(device):
            os.environ['GML_TRITON'] = '1'
            row |= both('block, Triton', fast, x, grad, device)
            os.environ['GML_TRITON'] = '0'
        yield row


def both(name, step, x, grad, device):
    """Milliseconds of the way there, and of both ways."""
    try:
        with torch.no_grad():
            forward = milliseconds(lambda: step(x), device)
        whole = milliseconds(lambda: step(x).backward(grad), device)
    except Exception as error:  # the next row may work
        return {name: f'{type(error).__name__}: {error}'[:200]}
    return {name: round(forward, 4), f'{name}, and back': round(whole, 4)}


def has_triton(device):
    return device == 'cuda' and importlib.util.find_spec('triton') is not None


def systems(device):
    """Steps of 16 clips and their memory; the fastest way of a pair."""
    plans = list(itertools.product(SYSTEMS, ['as-is'], [None, 'bf16']))
    plans += itertools.product(PAIR, ['contiguous', 'definition'], ['bf16'])
    plans += itertools.product(PAIR, ['contiguous', 'definition'], [None])
    if has_triton(device):
        plans += itertools.product(PAIR[1:], ['triton'], [None, 'bf16'])
    if device == 'cuda':
        plans += itertools.product(PAIR, ['compile'], ['bf16', None])
        plans += itertools.product(PAIR, ['as-is'], ['fp16'])
    for name, way, amp in plans:
        yield measure(name, way, amp, device)


def measure(name, way, amp, device):
    small = device == 'cpu'
    setting = Setting(
        1 if small else 16, 8, 112 if small else 224, device, amp
    )
    row = dict(config=name, way=way, precision=DTYPES.get(amp, 'float32'))
    os.environ['GML_TRITON'] = str(int(way == 'triton'))
    try:
        torch._dynamo.reset()
        model = build_detector(REPO / f'configs/{name}_ffpp.py', 8)
        WAYS['as-is' if way == 'triton' else way](model.to(device))
        clips = setting.clips()
        for step in (predict, train_step):
            taken = milliseconds(
                lambda step=step: step(model, clips, setting), device, 5, 0.8
            )
            row[step.__name__] = round(taken, 2)
        row['clips/s'] = round(setting.batch / row['train_step'] * 1e3, 1)
        row['GiB'] = round(peak_memory(model, setting) / 2**30, 2)
    except Exception as error:  # the next row may work
        row['error'] = f'{type(error).__name__}: {error}'[:200]
    os.environ['GML_TRITON'] = '0'
    if device == 'cuda':
        model = None
        torch.cuda.empty_cache()
    return row


def main():
    args = parse_args()
    end = time.monotonic() + args.seconds
    torch.backends.cudnn.benchmark = True  # as in default_runtime.py
    machine = 'CPU'
    if args.device == 'cuda':
        machine = torch.cuda.get_device_name()
    rows = []
    for row in dict(layouts=layouts, systems=systems)[args.what](args.device):
        rows.append(row)
        print(row, flush=True)
        result = dict(machine=machine, torch=torch.__version__, rows=rows)
        args.out.write_text(json.dumps(result, indent=1))
        if time.monotonic() > end:
            print('no time is left for the rest', flush=True)
            break


if __name__ == '__main__':
    main()
