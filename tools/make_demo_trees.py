"""Make miniature DeeperForensics and Celeb-DF trees of a FaceForensics++ one.

The same as ``gml demo-trees``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('demo-trees')
