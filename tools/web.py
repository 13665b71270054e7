"""Serve a web page on this machine: drop a video, see what a detector says.

The same as ``gml web``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('web')
