"""``python -m gml_mmaction COMMAND ...``, the same as ``gml``."""

from gml_mmaction.cli import main

if __name__ == '__main__':
    main()
