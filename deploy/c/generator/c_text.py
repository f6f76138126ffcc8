"""C constants as text."""

import numpy as np

F32 = np.float32


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


def comment(text: str) -> str:
    """Return text that may stand in a comment."""
    return text.replace("*/", "* /").replace("/*", "/ *")


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
