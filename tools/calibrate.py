"""Calibrate a checkpoint on a labelled validation set (scikit-learn).

The same as ``gml calibrate``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('calibrate')
