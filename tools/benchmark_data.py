"""How fast videos are prepared, against decoding them and doing nothing.

The same as ``gml benchmark-data``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('benchmark-data')
