"""Sphinx builds this folder to a site: ``make docs``."""

import pkgutil
from pathlib import Path
from typing import Any

import gml_mmaction

project = 'GML for MMAction2'
author = 'The authors of gml-mmaction'
version = release = gml_mmaction.__version__

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
exclude_patterns = ['_build']
html_theme = 'alabaster'  # comes with Sphinx, loads nothing from elsewhere
html_theme_options = {'page_width': '70em'}
html_static_path = []
toc_object_entries = False
html_show_sourcelink = False
myst_heading_anchors = 3  # links to headings, as a forge has them

autodoc_member_order = 'bysource'
autodoc_inherit_docstrings = False
autodoc_typehints_format = 'short'
autodoc_use_type_comments = False  # there are none, and looking takes seconds
autodoc_default_options = {'members': True, 'ignore-module-all': True}
napoleon_use_ivar = True
napoleon_use_rtype = False

API = Path(__file__).parent / 'api'
COMMANDS = ('cli', 'web')  # of these the modules alone are described


def write_api_pages(app: object) -> None:
    """Write a page for each package: its modules' docstrings."""
    API.mkdir(exist_ok=True)
    modules = [
        module.name
        for module in pkgutil.walk_packages(
            gml_mmaction.__path__, 'gml_mmaction.'
        )
        if not module.name.endswith('__main__')
    ]
    pages = {}
    for name in modules:
        pages.setdefault(name.split('.')[1], []).append(name)
    for page, names in pages.items():
        lines = [page, '=' * len(page), '']
        for name in names:
            if len(names) > 1:
                lines += [name, '-' * len(name), '']
            lines += [f'.. automodule:: {name}']
            lines += ['   :no-members:'] * (page in COMMANDS) + ['']
        _write(API / f'{page}.rst', lines)
    title = 'Modules'
    tree = ['.. toctree::', '   :maxdepth: 2', '']
    _write(
        API / 'index.rst',
        [title, '=' * len(title), '', *tree, *(f'   {p}' for p in pages), ''],
    )


def _write(path: Path, lines: list[str]) -> None:
    text = '\n'.join(lines)
    if not path.is_file() or path.read_text(encoding='utf-8') != text:
        path.write_text(text, encoding='utf-8')


def is_alias(
    app: object, what: str, name: str, item: object, skip: bool, _: object
) -> bool | None:
    """Leave out fields of named tuples, which their class describes."""
    return True if type(item).__name__ == '_tuplegetter' else None


def mark_tree(
    app: object, what: str, name: str, item: object, _: object, lines: list
) -> None:
    """Show the tree at the top of a source as it is, line by line."""
    if what != 'module' or not name.startswith('gml_mmaction.sources.'):
        return
    marked, inside = [], False
    for line in lines:
        indented = line.startswith('    ')
        if indented and not inside:
            marked += ['', '::', '']
        elif inside and line and not indented:
            marked.append('')
        inside = indented or (inside and not line)
        marked.append(line)
    lines[:] = marked


def setup(app: Any) -> None:
    """Called by Sphinx before it reads the pages."""
    app.connect('autodoc-process-docstring', mark_tree)
    app.connect('autodoc-skip-member', is_alias)
    app.connect('builder-inited', write_api_pages)
