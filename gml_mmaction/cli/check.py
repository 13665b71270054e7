r"""Say what a data set has, what is missing, and what leaks.

Usage::

    gml check ffpp FACEFORENSICS
    gml check dfo DEEPERFORENSICS --ffpp FACEFORENSICS \
        --against ffpp FACEFORENSICS compression=c23

The exit code is 0 if all videos are there, as many as published, and nothing
leaks; 1 if not, with a line for each reason; 2 after an error.
"""

import argparse
from pathlib import Path

from gml_mmaction.errors import SettingError
from gml_mmaction.io.files import write_json
from gml_mmaction.io.text import say
from gml_mmaction.sources.check import TrainedOn, check_source, format_check
from gml_mmaction.sources.options import (
    add_source_options,
    chosen_options,
    parse_with_source,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add = parser.add_argument
    add('source', help='name of the data set')
    add('root', type=Path, help="the data set's folder")
    add(
        '--against',
        nargs='+',
        action='append',
        default=[],
        metavar=('SOURCE ROOT', 'OPTION=VALUE'),
        help='data set that a detector is trained on: people of its '
        'training split must not be in this test; give an option again '
        'for a second value',
    )
    add(
        '--decode',
        type=int,
        default=0,
        metavar='N',
        help='decode a frame of the first N videos of each split and method',
    )
    add(
        '--json',
        type=Path,
        metavar='FILE',
        help='write the report to this file',
    )
    return parse_with_source(parser, argv)


def main(argv: list[str] | None = None) -> int:
    """Check a data set; return 0, or 1 if there are problems."""
    args = parse_args(argv)
    report = check_source(
        args.source,
        args.root,
        chosen_options(args, args.source),
        against=[read_against(words) for words in args.against],
        decode=args.decode,
    )
    if args.json:
        write_json(args.json, report)
    say(*format_check(report).split('\n'))
    return 1 if report['problems'] else 0


def read_against(words: list[str]) -> TrainedOn:
    """Read ``SOURCE ROOT OPTION=VALUE ...``.

    Raises:
        SettingError: There is no root, or no such source.
    """
    if len(words) < 2:
        raise SettingError(
            f'--against {words[0]}: its folder is missing. '
            'Remedy: --against SOURCE ROOT'
        )
    source, root, *pairs = words
    parser = argparse.ArgumentParser(prog=f'--against {source}')
    add_source_options(parser, source)
    values: dict[str, list[str]] = {}
    for pair in pairs:
        name, _, value = pair.partition('=')
        values.setdefault(f'--{name.replace("_", "-")}', []).append(value)
    flags = [word for name in values for word in (name, *values[name])]
    args = parser.parse_args(flags)
    return TrainedOn(source, Path(root), chosen_options(args, source))
