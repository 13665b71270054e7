"""How much the motion blocks cost: backbones compared in one run.

Plain Xception, +CSTM, +STM and +MCB see the same clip in turn, so that what
else the machine does hits all alike. Prints the median seconds of a forward
pass and of a training step (forward and backward), and their ratio to plain
Xception. All run channels-last.

Usage::

    python tools/benchmark.py
    python tools/benchmark.py --size 64 --rounds 20
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from gml_mmaction.models import Xception

BLOCKS = {
    'Xception': None,
    'Xception+CSTM': dict(type='CSTM'),
    'Xception+STM': dict(type='STMBlock'),
    'Xception+MCB': dict(type='MCB'),
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Time the backbones against plain Xception.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--batch', type=int, default=1, help='clips')
    parser.add_argument('--frames', type=int, default=8, help='of a clip')
    parser.add_argument('--size', type=int, default=224, help='pixels')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--threads', type=int, help="instead of PyTorch's")
    parser.add_argument('--device', default='cpu')
    return parser.parse_args(argv)


def forward(net: Xception, clip: torch.Tensor) -> None:
    """One forward pass without gradients, in evaluation mode."""
    net.eval()
    with torch.no_grad():
        net(clip)


def train_step(net: Xception, clip: torch.Tensor) -> None:
    """Forward and backward in training mode."""
    net.train()
    net.zero_grad(set_to_none=True)
    f_out, f_last = net(clip)
    (f_out.mean() + f_last.mean()).backward()


def seconds(step: Callable, net: Xception, clip: torch.Tensor) -> float:
    """Wall time of one step, the device's queue included."""
    start = time.perf_counter()
    step(net, clip)
    if clip.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main(argv: list[str] | None = None) -> dict[str, tuple[float, float]]:
    """Print the table; returns the ratios, forward and training step."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    nets = {
        name: Xception(block, num_segments=args.frames).to(args.device)
        for name, block in BLOCKS.items()
    }
    clip = torch.randn(
        args.batch, 3, args.frames, args.size, args.size, device=args.device
    )
    steps = (forward, train_step)
    times = {(name, step): [] for name in nets for step in steps}
    for round_ in range(args.rounds + 1):
        for name, net in nets.items():
            for step in steps:
                taken = seconds(step, net, clip)
                if round_:  # the first warms up
                    times[name, step].append(taken)
    median = {key: statistics.median(values) for key, values in times.items()}
    print(
        f'{args.batch} x {args.frames} x {args.size} x {args.size}, '
        f'{args.device}, {torch.get_num_threads()} threads, '
        f'torch {torch.__version__}, median of {args.rounds} rounds'
    )
    print(f'{"":<16}{"forward":>18}{"training step":>18}')
    ratios = {}
    for name in nets:
        ratios[name] = tuple(
            median[name, step] / median['Xception', step] for step in steps
        )
        cells = (
            f'{median[name, step]:.2f} s x{ratio:.2f}'
            for step, ratio in zip(steps, ratios[name])
        )
        print(f'{name:<16}' + ''.join(f'{cell:>18}' for cell in cells))
    return ratios


if __name__ == '__main__':
    main()
