"""Train a detector on MMEngine's runner; the flags are MMAction2's.

The same as ``gml train``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('train')
