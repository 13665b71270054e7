"""Draw class-activation maps of fake (Grad-CAM), of any of our networks.

The same as ``gml cam``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('cam')
