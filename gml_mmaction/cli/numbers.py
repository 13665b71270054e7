"""Types of options that are numbers: refused before any work."""

import argparse
from collections.abc import Callable


def whole(least: int, most: int = 2**31 - 1) -> Callable[[str], int]:
    """A type of an option: a whole number within bounds."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            words = f'a whole number, {least} to {most}'
            if most == 2**31 - 1:
                words = f'a whole number, {least} or more'
            raise argparse.ArgumentTypeError(f'{text!r}: give {words}')
        return number

    return read


SEED = whole(0, 2**32 - 1)  # as NumPy takes them
