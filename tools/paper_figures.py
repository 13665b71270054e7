"""Draw Fig. 1 and Fig. 3 of the paper for videos of one's own.

The same as ``gml figures``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('figures')
