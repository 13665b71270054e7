"""A checkpoint of random weights, to try speed and installation.

The same as ``gml init``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('init')
