"""Draw Fig. 1 and Fig. 3 of the paper for your own videos.

Example:
    gml figures best.pth --real a.mp4 --fake b.mp4
    gml figures --figure 1 --real a.mp4 --fake b.mp4

Fig. 3 shows what a network sees: image, CSTM, motion and consistency of MCM,
forgery clue, or those of them that it has. Fig. 1 shows optical flow, which
needs no network. The largest face of each video is cut out, at the rate of
the training and as large as the network reads it, for Fig. 1 in consecutive
frames of 224x224. All maps of a column have one colour scale.
"""

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gml_mmaction.apis import load_detector
from gml_mmaction.errors import SettingError
from gml_mmaction.explain.feature_maps import feature_maps
from gml_mmaction.io.text import say
from gml_mmaction.video import every
from gml_mmaction.visualization.paper_figures import (
    FaceClip,
    draw_fig1,
    draw_fig3,
    face_clip,
)

from .common import add_figure_options, import_modules

NUM_FRAMES = 8  # of a clip for Fig. 1


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Draw Fig. 1 or Fig. 3 of the paper.'
    )
    add = parser.add_argument
    add('checkpoint', nargs='?', help='checkpoint of gml train')
    add(
        '--figure',
        type=int,
        choices=(1, 3),
        default=3,
        help='number of the figure',
    )
    for kind in ('real', 'fake'):
        add(
            f'--{kind}',
            nargs='+',
            default=[],
            metavar='VIDEO',
            help=f'{kind} videos',
        )
    add(
        '--moments',
        type=int,
        nargs='+',
        default=[3, 6],
        metavar='T',
        help='frames of the clip to show, counted from 0',
    )
    add(
        '--stage',
        help='Fig. 3: stage of the backbone whose last motion block is '
        'shown, such as block1; default: the stage that the AD block '
        'reads',
    )
    add_figure_options(parser)
    args = parser.parse_args(argv)
    if not args.real and not args.fake:
        parser.error('videos are missing: give --real VIDEO --fake VIDEO')
    if args.figure == 3 and args.checkpoint is None:
        parser.error('Fig. 3 needs a checkpoint')
    return args


def main(argv: list[str] | None = None) -> Path:
    """Draw the figure; return its file."""
    args = parse_args(argv)
    import_modules(args)
    draw = {1: flow_figure, 3: feature_figure}[args.figure]
    path = draw(args, Path(args.out) / f'fig{args.figure}.png')
    say(path)
    return path


def flow_figure(args: argparse.Namespace, out: Path) -> Path:
    """Draw Fig. 1."""
    check_moments(args.moments, 1, NUM_FRAMES - 2)
    clips = read_clips(
        args,
        take=functools.partial(every, stride=1),
        size=224,
        num_frames=NUM_FRAMES,
    )
    return draw_fig1(clips, out, moments=args.moments)


def feature_figure(args: argparse.Namespace, out: Path) -> Path:
    """Draw Fig. 3."""
    detector = load_detector(args.checkpoint, args.device, exported=False)
    check_moments(args.moments, 0, detector.clip_len - 1)
    options = detector.crop_options
    clips = read_clips(
        args,
        size=options.size,
        take=detector.take,
        num_frames=detector.clip_len,
    )
    data = detector.pack(
        [[detector.encode(crop) for crop in clip.crops] for clip in clips]
    )
    scores, maps = feature_maps(detector.model, data, stage=args.stage)
    return draw_fig3(
        clips,
        scores.tolist(),
        {name: values.cpu().numpy() for name, values in maps.items()},
        out,
        moments=args.moments,
    )


def read_clips(args: argparse.Namespace, **options: Any) -> list[FaceClip]:
    """Cut the faces out, those of real videos first."""
    return [
        face_clip(path, label, start=args.start, **options)
        for label, paths in enumerate((args.real, args.fake))
        for path in paths
    ]


def check_moments(moments: Sequence[int], lowest: int, highest: int) -> None:
    """End with one line if a moment is outside of the clip."""
    for t in moments:
        if not lowest <= t <= highest:
            raise SettingError(
                f'--moments {t}: not in the clip. '
                f'Remedy: {lowest} to {highest}'
            )
