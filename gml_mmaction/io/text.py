"""Text for people: one line, and nothing in it that a terminal obeys.

Importing this module needs nothing but the standard library.
"""

__all__ = ['counted', 'one_line', 'printable']


def one_line(error: BaseException) -> str:
    """What an error says, without its line breaks and control characters."""
    quoted = isinstance(error, KeyError) and error.args
    text = str(error.args[0] if quoted else error)
    text = ' '.join(text.split()) or type(error).__name__
    return ''.join(filter(str.isprintable, text))


def printable(text: str) -> str:
    r"""Return text from a file or a name as a terminal may be given it.

    What is not printable (control characters, escape sequences, marks that
    turn the direction of writing, halves of surrogate pairs) appears as
    Python writes it, for instance ``\x1b``.
    """
    return ''.join(
        char if char.isprintable() else ascii(char)[1:-1] for char in text
    )


def counted(number: float, noun: str) -> str:
    """A number with its noun, as in '1 frame' and '2 frames'."""
    return f'{number:g} {noun}' if number == 1 else f'{number:g} {noun}s'
