"""Draw class-activation maps of fake (Grad-CAM), of any of our networks.

Example:
    gml cam a.mp4 b.mp4 --checkpoint best.pth

It uses MMAction2's own class; MMAction2's script for it, vis_cam.py, neither
cuts out faces nor knows our networks. The largest face of each video is cut
out as for training, from where it is first seen.
"""

import argparse
from pathlib import Path

from gml_mmaction.apis import load_detector
from gml_mmaction.explain.cam import ForgeryCAM
from gml_mmaction.io.text import say
from gml_mmaction.visualization.paper_figures import draw_cam, face_clip

from .common import add_figure_options, import_modules


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Draw class-activation maps of fake.'
    )
    add = parser.add_argument
    add(
        'videos', nargs='+', metavar='VIDEO', help='video, or folder of images'
    )
    add('--checkpoint', required=True, help='checkpoint of gml train')
    add(
        '--layer',
        help='module to explain, such as backbone/block12; default: the '
        'last feature map that the whole score depends on',
    )
    add_figure_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> Path:
    """Draw the maps; return their file."""
    args = parse_args(argv)
    import_modules(args)
    path = draw(args, Path(args.out) / 'cam.png')
    say(path)
    return path


def draw(args: argparse.Namespace, out: Path) -> Path:
    """Explain one clip of each video."""
    detector = load_detector(args.checkpoint, args.device, exported=False)
    cam = ForgeryCAM(detector.model, args.layer, colormap='inferno')
    clips = [
        face_clip(
            path,
            None,
            size=detector.crop_options.size,
            take=detector.take,
            num_frames=detector.clip_len,
            start=args.start,
        )
        for path in args.videos
    ]
    data = detector.pack(
        [[detector.encode(crop) for crop in clip.crops] for clip in clips]
    )
    blended, scores = cam(data)
    _, maps = cam.explain(data)
    middle = detector.clip_len // 2
    return draw_cam(
        clips,
        scores.tolist(),
        blended.numpy(),
        maps.cpu().numpy(),
        out,
        moments=(middle - 1, middle + 2),
    )
