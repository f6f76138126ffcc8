"""C constants as text."""

import string

import numpy as np

F32 = np.float32
_HARMLESS = frozenset(string.ascii_letters + string.digits + " _.,:=/()+-")


def words(count: int, size: int) -> int:
    """Return the bytes of an array filled up to whole words."""
    return -(-max(count, 1) * size // 4) * 4


def lines(constants: list[str]) -> str:
    """Return constants with commas in lines of 79 characters."""
    done, line = [], "   "
    for constant in constants:
        if len(line) + len(constant) + 2 > 79:
            done.append(line)
            line = "   "
        line += f" {constant},"
    return "\n".join([*done, line])


def harmless(text: str, other=lambda character: "_") -> str:
    """Return text from a file with nothing in it that C, make or a shell reads.

    Arguments
    ---------
    text : str
    other : callable, optional
        Given each character but letters, digits, blanks and ``_.,:=/()+-`` of
        ASCII, what stands for it.

    Returns
    -------
    str
        One line, for a comment or a text file.
    """
    return "".join(c if c in _HARMLESS else other(c) for c in text)


def string_literal(text: str, indent: str) -> str:
    """Return ASCII text as a C string in lines of 60 characters and more."""
    pieces, line = [], ""
    for character in text:
        line += harmless(character, lambda c: f"\\{ord(c):03o}")
        if len(line) >= 60:
            pieces.append(line)
            line = ""
    return "\n".join(f'{indent}"{piece}"' for piece in [*pieces, line])


def float_text(value) -> str:
    """Return a float constant that is read back bit for bit."""
    text = f"{float(F32(value)):.9g}"
    if "." not in text and "e" not in text:
        text += ".0"
    return text + "f"


def int_text(value) -> str:
    """Return an integer constant; the least int32 has no literal."""
    value = int(value)
    return f"{value + 1} - 1" if value == -(2**31) else str(value)
