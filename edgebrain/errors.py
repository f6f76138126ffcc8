"""The one exception that says what a user did wrong and how to mend it."""

from collections.abc import Iterable
import difflib


class UserError(ValueError):
    """Bad input from a person: names the file or key, the fault, the mend.

    Scripts print the message alone, without a traceback, and exit with
    status 2.
    """

    @classmethod
    def collect(cls, headline: str, problems: Iterable[str]) -> "UserError":
        """Return one error that lists all problems; of one it is a line."""
        problems = list(problems)
        if len(problems) == 1:
            return cls(f"{headline}: {problems[0]}")
        lines = "\n".join(f"  - {p}" for p in problems)
        return cls(f"{headline} ({len(problems)} problems):\n{lines}")


def nearest(got: str, known: Iterable[str]) -> list[str]:
    """Return up to three known names that look most like ``got``.

    >>> nearest("spec_mes", ["spec_mse", "wave_mse", "stoi"])
    ['spec_mse']
    """
    # However they are written: L1 is l1.
    names = {str(name).lower(): name for name in known}
    found = difflib.get_close_matches(str(got).lower(), names, n=3, cutoff=0.7)
    return [names[name] for name in found]


def unknown_name(kind: str, got: str, known: Iterable[str]) -> UserError:
    """Return the error for a name outside a known set, with the nearest.

    >>> print(unknown_name("loss", "spec_mes", ["spec_mse", "stoi"]))
    unknown loss 'spec_mes': did you mean spec_mse? (known: spec_mse, stoi)
    """
    known = sorted(known)
    close = nearest(got, known)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return UserError(
        f"unknown {kind} {got!r}: {hint}(known: {', '.join(known)})"
    )


def shorten(names: list[str], most: int = 5) -> str:
    """Return the first names as text, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
