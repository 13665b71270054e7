"""Make a miniature FaceForensics++ of talking heads and their forgeries.

The same as ``gml demo-data``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('demo-data')
