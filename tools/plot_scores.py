"""Draw ROC, precision-recall, histograms and bars with intervals.

The same as ``gml plot``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('plot')
