"""Tables 1 to 3: train and test what is missing, then write them.

The same as ``gml tables``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('tables')
