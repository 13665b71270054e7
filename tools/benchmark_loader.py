"""How fast training clips are made, against decoding their files alone.

The same as ``gml benchmark-loader``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('benchmark-loader')
