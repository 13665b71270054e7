"""Which block finds which forgery: experiments on made-up videos.

The same as ``gml ablation``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('ablation')
