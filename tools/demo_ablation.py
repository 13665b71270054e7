"""Which block finds which forgery: the paper's order under control.

The same as ``gml ablation``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('ablation')
