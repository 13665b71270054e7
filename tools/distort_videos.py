"""Video files distorted as DeeperForensics-1.0's, with its kind of meta file.

The same as ``gml distort``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('distort')
