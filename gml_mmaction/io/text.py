"""Text for people: one line, without control characters.

Names of files, records of checkpoints and lists are written by others. All
that commands print goes through :func:`say`, all that MMEngine logs through
:func:`printable_lines`. So no such text can move the cursor, or hide or fake a
line.

Importing this module needs nothing but the standard library.
"""

import os
import re
import sys
from collections.abc import Sequence
from typing import TextIO

__all__ = [
    'counted',
    'figure_text',
    'nth',
    'one_line',
    'printable',
    'printable_lines',
    'say',
    'widen_streams',
]

# What the system calls by a number, of a path.
_PATHS: dict[type[BaseException], str] = {
    FileNotFoundError: 'no such file or folder. Remedy: a path that is there',
    FileExistsError: 'a file has this name. Remedy: another folder',
    NotADirectoryError: 'a part of it is a file. Remedy: another folder',
    IsADirectoryError: 'a folder, not a file. Remedy: name a file in it',
    PermissionError: 'this user may not use it. Remedy: chmod, or another '
    'path',
}
_TRACEBACK = 'Original Traceback (most recent call last):\n'


def one_line(error: BaseException) -> str:
    """What an error says, as :func:`printable`, line breaks as spaces.

    The message of an error in a loader's process holds its traceback: here it
    is the last line of it, without the error's type. Of a path that cannot be
    used the system gives only a number: here it is the path and the remedy.
    """
    what = _PATHS.get(type(error))
    path = getattr(error, 'filename', None)
    if what and isinstance(path, str | bytes | os.PathLike):
        return printable(f'{os.fsdecode(path)}: {what}')
    quoted = isinstance(error, KeyError) and error.args
    text = str(error.args[0] if quoted else error).strip()
    if _TRACEBACK in text:
        text = re.sub(r'^[\w.]+Error: ', '', text.split('\n')[-1])
    return printable(' '.join(text.split())) or type(error).__name__


def printable(text: object) -> str:
    r"""Make text from a file or a name safe to print on a terminal.

    What is not printable (control characters, line breaks, escape sequences,
    marks that turn the direction of writing, halves of surrogate pairs)
    appears as Python writes it, for instance ``\x1b``.
    """
    return ''.join(
        char if char.isprintable() else ascii(char)[1:-1] for char in str(text)
    )


def printable_lines(text: str) -> str:
    """Do as :func:`printable`, but keep line breaks and tabulators."""
    return '\n'.join(
        '\t'.join(map(printable, line.split('\t')))
        for line in text.split('\n')
    )


def figure_text(text: object) -> str:
    r"""Do as :func:`printable` for matplotlib, to which ``$`` is a formula."""
    return printable(text).replace('$', r'\$')


def say(*lines: object, file: TextIO | None = None) -> None:
    """Print lines for people, each as :func:`printable`.

    Args:
        lines: A line break within one is escaped: what is laid out on several
            lines is given as such, its cells having been made printable.
        file: Where to, by default the standard output.
    """
    for line in lines:
        print(printable(line), file=file or sys.stdout, flush=True)


def widen_streams() -> None:
    r"""Let signs that the locale cannot write appear as ``\xe9``.

    Programs call it first. A stream that is not a terminal, a file or a pipe
    is not changed.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')


def counted(number: float, noun: str) -> str:
    """A number with its noun, as in '1 frame' and '2 frames'."""
    return f'{number:g} {noun}' if number == 1 else f'{number:g} {noun}s'


def nth(number: int) -> str:
    """Which of several, behind 'every': 'one', '2nd', '3rd', '4th' and on."""
    return {1: 'one', 2: '2nd', 3: '3rd'}.get(number, f'{number}th')


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align cells as a Markdown table, the first column to the left.

    Args:
        rows: The header first; all of one length.

    Returns:
        Lines, one more than rows.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        first, *others = (
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        )
        lines.append('| ' + ' | '.join([first, *others]) + ' |')
    rule = [
        '-' * widths[0],
        *('-' * (width - 1) + ':' for width in widths[1:]),
    ]
    lines.insert(1, '| ' + ' | '.join(rule) + ' |')
    return lines
