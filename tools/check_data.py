"""Tell what of a data set is there, what is missing, and what leaks.

The same as ``gml check``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('check')
