"""A detector as one ONNX file.

The same as ``gml export``.
"""

from gml_mmaction.cli import run

if __name__ == '__main__':
    run('export')
