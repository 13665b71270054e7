"""The whole way in one command: videos, faces, training, testing, scores.

The same as ``gml demo``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('demo')
