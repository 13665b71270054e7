"""What detectors cost: parameters, GMACs, seconds, memory, in one table.

The same as ``gml benchmark``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('benchmark')
