"""From a data set's own tree to face crops, annotations and a report.

The same as ``gml prepare``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('prepare')
