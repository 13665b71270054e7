"""Compile the fast path of the motion blocks for this machine's CPU.

Usage::

    python -m gml_mmaction.build_native

takes a second and a C compiler (``CC``, or ``cc``); nothing is downloaded.
The library goes to the user's cache and is used from then on.
"""

import subprocess
import sys

from .models import native


def main() -> None:
    """Build the library and say where it is."""
    try:
        print(native.build())
    except subprocess.CalledProcessError as error:
        sys.exit(f'{error.cmd[0]} failed:\n{error.stderr}')
    except OSError as error:
        sys.exit(f'no C compiler: {error}; set CC to one')


if __name__ == '__main__':
    main()
