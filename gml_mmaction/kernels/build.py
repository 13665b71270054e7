"""Compile the kernel of the motion blocks for this machine's CPU.

Usage::

    python -m gml_mmaction.kernels.build

takes seconds and a C compiler (``CC``, or ``cc``); nothing is downloaded.
The library goes to the user's cache and is used from then on.
"""

import os
import subprocess
import sys

from gml_mmaction.io.text import printable, say, widen_streams

from . import library


def main() -> None:
    """Build the library and say where it is."""
    try:
        say(library.build())
    except subprocess.CalledProcessError as error:
        lines = error.stderr.splitlines()
        why = [line for line in lines if 'error' in line] or lines or ['']
        sys.exit(
            f'{error.cmd[0]} failed: {printable(why[0]):.200}. Remedy: '
            "another C compiler in CC, or none: PyTorch's operators do the "
            'work, more slowly'
        )
    except OSError as error:
        if str(error.filename) == os.environ.get('CC', 'cc'):
            sys.exit(f'no C compiler: {error}. Remedy: set CC to one')
        sys.exit(
            f'nothing was built: {error}. Remedy: set XDG_CACHE_HOME to a '
            'folder of your own'
        )


if __name__ == '__main__':
    widen_streams()
    main()
