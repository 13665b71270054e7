"""A verdict on videos of one's own, from a checkpoint and nothing else.

The same as ``gml predict``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('predict')
