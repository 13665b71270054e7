"""``gml``: one module here for each of its commands.

gml train CONFIG ...       is gml_mmaction/cli/train.py
python tools/train.py ...  is the same, where MMAction2's users look
"""

import importlib
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gml_mmaction
from gml_mmaction.errors import GMLError, SettingError
from gml_mmaction.io.text import one_line, say, widen_streams
from gml_mmaction.version import __version__

__all__ = ['COMMANDS', 'main', 'run']

# In the order of use. A command is the module of its name, with '_' for '-'.
COMMANDS = {
    'demo': 'from made-up videos to a tested detector',
    'doctor': 'what is installed, and what is wrong with it',
    'check': 'what of a data set is there, what is missing, what leaks',
    'prepare': 'from a data set to face crops, annotations and a report',
    'train': 'train a detector',
    'test': 'test a detector, also on several data sets',
    'init': 'random weights, to try speed and installation',
    'predict': 'a verdict on videos of your own',
    'web': 'the same on a page in a browser',
    'calibrate': 'from scores to probabilities',
    'cam': 'Grad-CAM of a clip',
    'plot': 'curves, intervals and comparisons of score files',
    'robustness': 'test under distortions',
    'distort': 'distort whole videos, as DeeperForensics does',
    'tables': "fill in the paper's tables",
    'figures': "draw the paper's figures",
    'ablation': "the paper's ablation on made-up videos",
    'demo-data': 'write the videos of the demo',
    'demo-trees': 'write miniatures of two data sets',
    'benchmark': 'parameters, operations, speed and memory of detectors',
    'benchmark-data': 'speed of preparation',
    'benchmark-loader': 'speed of loading',
    'benchmark-predict': 'speed of predicting',
}


def main(argv: list[str] | None = None) -> None:
    """Run ``gml COMMAND ...``; ends the process with its exit code."""
    command, *rest = (sys.argv[1:] if argv is None else argv) or ['--help']
    if command in COMMANDS:
        sys.argv = [f'gml {command}', *rest]
        run(command)
    with one_line_ends('gml'):
        if command in ('-h', '--help'):
            show_help()
        elif command == '--version':
            say(__version__)
        else:
            raise SettingError(f'no command {command!r}. Remedy: gml --help')


def show_help() -> None:
    """Print the commands with a line each."""
    width = max(map(len, COMMANDS))
    say('usage: gml COMMAND ...', '')
    say(*(f'  {name:<{width}}  {what}' for name, what in COMMANDS.items()))
    say('', 'gml COMMAND --help tells the options of each.')


def run(command: str) -> None:
    """Run a command by the words in ``sys.argv``; ends the process."""
    with one_line_ends(Path(sys.argv[0]).name):
        if command != 'doctor':  # it runs where nothing else does
            gml_mmaction.register()
        name = command.replace('-', '_')
        module = importlib.import_module(f'gml_mmaction.cli.{name}')
        code = module.main()
    raise SystemExit(code if isinstance(code, int) else 0)


@contextmanager
def one_line_ends(program: str) -> Iterator[None]:
    """End a program with one line, or silently, if the error is not ours.

    An error that a user can mend is its message and exit code 1; Ctrl+C is
    one line and exit code 130. If nobody reads the output any more, as in
    ``gml --help | head -1``, the end is quiet, with the exit code of a
    program that the system stops for it.
    """
    widen_streams()
    try:
        try:
            yield
        finally:
            flush_output()
    except GMLError as error:
        raise SystemExit(f'{program}: {one_line(error)}') from None
    except KeyboardInterrupt:
        say(f'{program}: stopped', file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        if not is_output_unread():
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # Python writes once more
        raise SystemExit(141) from None  # 128 and the number of SIGPIPE


def is_output_unread() -> bool:
    """Whether the standard output is a pipe whose reader has gone."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
    except (AttributeError, OSError):  # no such call, or no such stream
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


def flush_output() -> None:
    """Write what is held back, if there is a standard output."""
    if sys.stdout is not None:
        sys.stdout.flush()
