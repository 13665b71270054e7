"""Test a detector on distorted videos: every type at every level.

The same as ``gml robustness``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('robustness')
