"""Modules of the user's own: importing them, and what they register.

A file is imported by its name, and may import files beside it by theirs: so
pickles and other processes find them again. But Python knows only one module
by a name. Where that is another than the file, the file is refused before any
of it is run, so that neither is taken for the other.
"""

import ast
import importlib
import sys
import traceback
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmaction.registry import MODELS, TRANSFORMS

from gml_mmaction.errors import SettingError
from gml_mmaction.io.text import one_line

__all__ = ['entries', 'import_own', 'is_own']

PACKAGE = __name__.partition('.')[0]
# Modules that the user has asked for, and what was registered meanwhile.
ASKED: set[str] = set()
GAINED: set[tuple[str, Any]] = set()


def import_own(module: str) -> None:
    """Import a module of the user's; configs may name what it registers.

    Args:
        module: A file ``PATH/NAME.py``, or a name that Python finds.

    Raises:
        SettingError: There is no such module, it cannot be imported, or
            Python knows another module by its name, or by that of a file
            beside it that it imports.
    """
    name = module
    if module.endswith('.py'):
        name = _make_known(module)
    elif not all(map(str.isidentifier, module.split('.'))):
        raise SettingError(
            f'--import {module!r}: neither a file nor the name of a '
            'module. Remedy: the path of a file, NAME.py'
        )
    before = _registered()
    try:
        importlib.import_module(name)
    except (Exception, SystemExit) as error:  # a program may raise anything
        raise SettingError(
            f'--import {module}: {_why(error, name)}'
        ) from error
    ASKED.add(name)
    GAINED.update(_registered() - before)


def is_own(name: str, item: Any) -> bool:
    """Whether a type of a registry is one of the user's modules'."""
    place = f'{item.__module__}.'
    asked = any(place.startswith(f'{one}.') for one in ASKED)
    return asked or (name, item) in GAINED


def entries(registry: Any) -> dict[str, Any]:
    """All that a registry finds by a name alone, its parents' too."""
    above = {} if registry.parent is None else entries(registry.parent)
    return {**above, **registry.module_dict}


def _registered() -> set[tuple[str, Any]]:
    return {*entries(MODELS).items(), *entries(TRANSFORMS).items()}


def _make_known(module: str) -> str:
    """Let Python find a file and those beside it; returns its name.

    The folder comes last: nothing in it hides what is installed.
    """
    path = Path(module).resolve()
    if not path.is_file():
        raise SettingError(
            f'--import {module}: there is no such module. Remedy: the path '
            'of its file'
        )
    if '.' in path.stem:
        raise SettingError(
            f'--import {module}: a dot in its name, which parts the names of '
            'modules. Remedy: another name for the file'
        )
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    importlib.invalidate_caches()
    files = {path: path.stem}
    todo = [path]
    while todo:
        file = todo.pop()
        found = _found(files[file])
        if found != str(file):
            raise SettingError(
                f'--import {module}: Python knows another module by the name '
                f'of {file} ({found}). Remedy: another name for it'
            )
        beside = dict(_imported(file, path.parent))
        todo += beside.keys() - files.keys()
        files |= beside
    return path.stem


def _found(name: str) -> str:
    """The file of a module that is imported, or would be."""
    try:
        spec = find_spec(name)
    except ValueError:  # it has been made without a file
        spec = None
    if spec is None or not spec.has_location or spec.origin is None:
        return 'one without a file'
    return str(Path(spec.origin).resolve())


def _imported(file: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    """Files of a folder that a file imports, each with its name."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):  # importing it says so
        return
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [str(node.module)]
        for name in {one.partition('.')[0] for one in names} - {PACKAGE}:
            for place in (f'{name}/__init__.py', f'{name}.py'):
                if (folder / place).is_file():
                    yield (folder / place).resolve(), name
                    break


def _why(error: BaseException, name: str) -> str:
    """Why a module was not imported, where, and the remedy."""
    absent = getattr(error, 'name', None)
    if isinstance(error, ModuleNotFoundError) and absent:
        if f'{name}.'.startswith(f'{absent}.'):
            return (
                'there is no such module. Remedy: the path of its file, '
                'NAME.py, or a name that Python finds'
            )
        remedy = f'install {absent}, or put its file beside yours'
    elif 'is already registered' in str(error):
        remedy = 'another name for it'
    else:
        remedy = 'mend it; its lines run as Python'
    what = f'{type(error).__name__}: {one_line(error):.300}'
    lines = [
        f' ({frame.filename}, line {frame.lineno})'
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.name == '<module>'
    ]
    place = lines[-1] if lines else ''
    return f'cannot be imported: {what}{place}. Remedy: {remedy}'
