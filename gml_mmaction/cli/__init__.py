"""``gml``: one module here for each of its commands.

gml train CONFIG ...       is gml_mmaction/cli/train.py
python tools/train.py ...  is the same, where MMAction2's users look
"""

import importlib
import sys

from gml_mmaction.io.text import say, widen_streams

__all__ = ['COMMANDS', 'main', 'run']

# In the order of use. A command is the module of its name, with '_' for '-'.
COMMANDS = {
    'demo': 'from made-up videos to a tested detector',
    'doctor': 'what is installed, and what is wrong with it',
    'check': 'what of a data set is there, what is missing, what leaks',
    'prepare': 'from a data set to face crops, annotations and a report',
    'train': 'train a detector',
    'test': 'test a detector, also on several data sets',
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
}


def main(argv: list[str] | None = None) -> None:
    """Run ``gml COMMAND ...``; ends the process with its exit code."""
    command, *rest = (sys.argv[1:] if argv is None else argv) or ['--help']
    widen_streams()
    if command in ('-h', '--help'):
        width = max(map(len, COMMANDS))
        say('usage: gml COMMAND ...', '')
        say(*(f'  {name:<{width}}  {what}' for name, what in COMMANDS.items()))
        say('', 'gml COMMAND --help tells the options of each.')
        return
    if command == '--version':
        from gml_mmaction.version import __version__

        say(__version__)
        return
    if command not in COMMANDS:
        raise SystemExit(f'gml: no command {command!r}. Remedy: gml --help')
    sys.argv = [f'gml {command}', *rest]
    run(command)


def run(command: str) -> None:
    """Run a command by the words in ``sys.argv``; ends the process."""
    widen_streams()
    name = command.replace('-', '_')
    module = importlib.import_module(f'gml_mmaction.cli.{name}')
    code = module.main()
    raise SystemExit(code if isinstance(code, int) else 0)
