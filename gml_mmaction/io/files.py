"""Text and JSON files that appear whole or not at all.

A run that is killed leaves the old file or the new one, never a part of one.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gml_mmaction.errors import GMLError

__all__ = [
    'FileError',
    'file_sha256',
    'folder_sha256',
    'read_json',
    'read_text',
    'write_bytes',
    'write_json',
    'write_text',
]


class FileError(GMLError, ValueError):
    """A file that does not hold what it should; the message names it."""


def write_text(path: str | Path, text: str) -> None:
    """Write a file in UTF-8; make its folder if it is missing.

    Raises:
        OSError: The file cannot be written; the old one is kept.
    """
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file; make its folder if it is missing.

    Raises:
        OSError: As :func:`write_text`.
    """
    _write(Path(path), data, Path(path).parent)


def write_json(
    path: str | Path,
    content: Mapping[str, Any],
    *,
    scratch: str | Path | None = None,
) -> bytes:
    """Write an object, one line per key and per item of a list in it.

    Args:
        path: The file.
        content: Of strings, finite numbers, booleans, None, lists and dicts.
        scratch: Folder for the unfinished file, on the same file system;
            without it, the file's own.

    Returns:
        What the file holds.

    Raises:
        OSError: As :func:`write_text`.
        ValueError: A number is not finite, which JSON cannot hold.
    """
    path = Path(path)
    data = _lines(content).encode()
    _write(path, data, path.parent if scratch is None else Path(scratch))
    return data


def read_text(path: str | Path) -> str:
    """Read a text file in UTF-8, with or without a mark of byte order.

    Raises:
        OSError: The file cannot be read.
        FileError: It is not UTF-8.
    """
    try:
        return Path(path).read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise FileError(
            f'{path}: not text in UTF-8 ({error.reason} at byte '
            f'{error.start}). Remedy: save it as UTF-8, or copy it again'
        ) from None


def read_json(path: str | Path) -> Any:
    """Read a JSON file in UTF-8.

    Raises:
        OSError: The file cannot be read.
        FileError: It is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise FileError(f'{path}: not JSON ({error})') from None
    except RecursionError:
        raise FileError(f'{path}: not JSON (nested too deeply)') from None
    except FileError:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise FileError(f'{path}: not JSON ({error})') from None


def _write(path: Path, data: bytes, scratch: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        partial = Path(folder) / path.name
        partial.write_bytes(data)
        os.replace(partial, path)


def _lines(content: Mapping[str, Any]) -> str:
    parts = []
    for key, value in content.items():
        text = json.dumps(value, allow_nan=False)
        if isinstance(value, list) and value:
            items = (json.dumps(item, allow_nan=False) for item in value)
            text = '[\n' + ',\n'.join(items) + '\n]'
        parts.append(f'{json.dumps(key)}: {text}')
    return '{\n' + ',\n'.join(parts) + '\n}\n'


def file_sha256(path: str | Path) -> str | None:
    """SHA-256 of a file in hexadecimal; None for a URL or no file."""
    if not Path(path).is_file():
        return None
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def folder_sha256(folder: str | Path) -> str:
    """SHA-256 of the files in a folder, as ``sha256sum *`` prints them.

    Of the text with a line ``HASH  NAME`` a file, sorted by their names;
    without hidden files and folders.
    """
    lines = [
        f'{file_sha256(path)}  {path.name}\n'
        for path in sorted(Path(folder).iterdir())
        if path.is_file() and not path.name.startswith('.')
    ]
    text = ''.join(lines).encode(errors='surrogateescape')
    return hashlib.sha256(text).hexdigest()
