"""Make miniature DeeperForensics and Celeb-DF trees of a FaceForensics++ one.

Usage::

    gml demo-data raw/FaceForensics++
    gml demo-trees raw/FaceForensics++ raw

The second writes raw/DeeperForensics-1.0 and raw/Celeb-DF-v2 with the official
names and lists, to try every command before a download is there.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from gml_mmaction.io.text import say
from gml_mmaction.synthetic.trees import make_celeb_df_tree, make_dfo_tree

from .numbers import SEED


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        'ffpp', type=Path, help='folder of a FaceForensics++ tree'
    )
    parser.add_argument(
        'out', type=Path, help='folder to write the new trees to'
    )
    parser.add_argument(
        '--seed', type=SEED, default=0, help='random seed of the distortions'
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Make both trees."""
    args = parse_args(argv)
    dfo = args.out / 'DeeperForensics-1.0'
    celeb_df = args.out / 'Celeb-DF-v2'
    make_dfo_tree(args.ffpp, dfo, seed=args.seed)
    make_celeb_df_tree(args.ffpp, celeb_df)
    say(dfo, celeb_df)
