"""``gml``: one module here for each of its commands.

gml train CONFIG ...       is gml_mmaction/cli/train.py
python tools/train.py ...  is the same, where MMAction2's users look
"""

import gc
import importlib
import json
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
    'demo': 'make videos, train on them and test: a few minutes',
    'doctor': 'say what is installed, and what is wrong with it',
    'check': 'what a data set has, what is missing, what leaks',
    'prepare': 'cut out the faces of a data set; annotations and a report',
    'genuine': 'a detector from a folder of genuine videos',
    'fakes': 'look at the pseudo-fakes that a config trains on',
    'train': 'train a detector',
    'test': 'test a detector, also on several data sets',
    'init': 'write random weights, to try speed and installation',
    'export': 'write a detector as one ONNX file',
    'predict': 'judge videos of your own',
    'web': 'judge videos on a page in the browser',
    'calibrate': 'turn scores into probabilities',
    'false-alarms': 'count false alarms by the number of faces and clips',
    'cam': 'draw Grad-CAM of a clip',
    'plot': 'draw and compare score files, with intervals',
    'robustness': 'test a detector on distorted videos',
    'distort': 'distort whole videos, as DeeperForensics does',
    'tables': "fill in the paper's tables",
    'figures': "draw the paper's figures",
    'ablation': 'which block finds which forgery, on made-up videos',
    'demo-data': 'write the videos of the demo',
    'demo-trees': 'write miniatures of two data sets',
    'benchmark': 'measure parameters, operations, speed and memory',
    'benchmark-data': 'measure the speed of gml prepare',
    'benchmark-loader': 'measure the speed of the data loader',
    'benchmark-predict': 'measure the speed of gml predict',
}
# The exit codes after an error that are not 1.
ERROR_CODES = {'check': 2}  # 1 says that the data set has problems


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
    say('', 'gml COMMAND --help lists the options of a command.')


def run(command: str) -> None:
    """Run a command by the words in ``sys.argv``; ends the process."""
    code = ERROR_CODES.get(command, 1)
    with one_line_ends(Path(sys.argv[0]).name, code):
        with gml_mmaction.uncollected():
            if command != 'doctor':  # it runs where nothing else does
                gml_mmaction.register()
                from gml_mmaction.host.allocator import keep_memory
                from gml_mmaction.io import pool

                keep_memory()
                pool.in_command = gml_mmaction.COMMAND
            name = command.replace('-', '_')
            module = importlib.import_module(f'gml_mmaction.cli.{name}')
        gc.freeze()  # or each collection looks through all of it
        code = module.main()
    raise SystemExit(code if isinstance(code, int) else 0)


@contextmanager
def one_line_ends(program: str, code: int = 1) -> Iterator[None]:
    """End a program with one line, or silently, if the error is not ours.

    An error that a user can mend, or that the system reports of a file, is
    its message and the exit code ``code``; Ctrl+C is one line and exit code
    130. If nobody reads the output any more, as in ``gml --help | head -1``,
    the end is quiet, with the exit code of a program that the system stops
    for it.
    """
    widen_streams()
    try:
        try:
            yield
        finally:
            flush_output()
    except KeyboardInterrupt:
        say(f'{program}: stopped', file=sys.stderr)
        raise SystemExit(130) from None
    except (GMLError, OSError, json.JSONDecodeError) as error:
        if isinstance(error, BrokenPipeError) and is_output_unread():
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())  # Python writes once more
            raise SystemExit(141) from None  # 128 and the number of SIGPIPE
        say(f'{program}: {one_line(error)}', file=sys.stderr)
        raise SystemExit(code) from None


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
