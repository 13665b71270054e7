"""What predicting costs a minute of video, part by part.

The same as ``gml benchmark-predict``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('benchmark-predict')
