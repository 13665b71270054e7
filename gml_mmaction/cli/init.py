"""A checkpoint of random weights, to try speed and installation.

Example:
    gml init gml_xception_ffpp random.pth
    gml predict video.mp4 --checkpoint random.pth

It says of itself that it was not trained, and so does every report.
"""

import argparse
from pathlib import Path

from gml_mmaction.apis.initial import write_initial
from gml_mmaction.engine.config_check import read_settings
from gml_mmaction.io.text import say

from .common import add_import_option, config_file, import_modules
from .numbers import SEED


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Write a checkpoint of random weights.'
    )
    parser.add_argument(
        'config', type=config_file, help='config file, or its name in configs/'
    )
    parser.add_argument(
        'out',
        nargs='?',
        type=Path,
        help='file to write [the name of the config, -random.pth]',
    )
    parser.add_argument(
        '--seed', type=SEED, default=0, help='of the weights [%(default)s]'
    )
    add_import_option(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Write the checkpoint."""
    args = parse_args(argv)
    import_modules(args)
    out = args.out or Path(f'{args.config.stem}-random.pth')
    write_initial(read_settings(args.config), out, args.seed)
    say(f'written to {out}: random weights, not trained')
