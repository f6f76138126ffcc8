"""One validator of values, for command lines, yaml files and constructors.

A rule such as ``Number(whole=True, least=1)`` is called with a value, or with
the word of a command line for one, and returns it in its type. A table of
rules by key checks all of a yaml, see :func:`check`; as ``type=`` of an
argparse option a rule checks that.

>>> Number(whole=True, least=1)("3")
3
>>> check("train.yaml", {"lr": -1}, {"lr": Number(least=0)})
Traceback (most recent call last):
edgebrain.errors.UserError: train.yaml: lr: a number from 0, not -1
"""

import argparse
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
import math
from typing import Any

from edgebrain.errors import UserError, unknown_name

_WORDS = {"true": True, "yes": True, "false": False, "no": False}

Rule = Callable[[Any], Any]


class Unfit(UserError, argparse.ArgumentTypeError):
    """A value that a rule refuses; argparse names the option before it."""


# argparse keeps rules as keys of a dictionary, whatever their fields hold.
@dataclass(frozen=True, eq=False)
class Number:
    """A finite number within bounds; ``least`` and ``most`` are allowed.

    Whole numbers become int, others float; ``optional`` allows None.
    """

    whole: bool = False
    least: float = -math.inf
    most: float = math.inf
    above: float | None = None
    optional: bool = False

    def __call__(self, value: Any) -> float | None:
        """Return the number."""
        if value is None and self.optional:
            return None
        try:
            number = float("nan" if isinstance(value, bool) else value)
        except (TypeError, ValueError):
            number = math.nan
        fits = math.isfinite(number) and self.least <= number <= self.most
        if self.above is not None:
            fits = fits and number > self.above
        if not fits or (self.whole and number != int(number)):
            raise Unfit(f"{self}, not {value!r}")
        return int(number) if self.whole else number

    def __str__(self) -> str:
        """Return what is allowed, in words."""
        words = ["a whole number" if self.whole else "a number"]
        if self.above is not None:
            words.append(f"above {self.above:g}")
        if self.least > -math.inf:
            words.append(f"from {self.least:g}")
        if self.most < math.inf:
            words.append(f"to {self.most:g}")
        return " ".join(words)


def switch(value: Any) -> bool:
    """Return True or False of itself or of a word."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _WORDS:
        return _WORDS[value.lower()]
    raise Unfit(f"True or False, not {value!r}")


@dataclass(frozen=True, eq=False)
class Name:
    """One of some names, of a kind that the message tells."""

    kind: str
    known: Collection[str]
    optional: bool = False

    def __call__(self, value: Any) -> str | None:
        """Return the name."""
        if value in self.known or (value is None and self.optional):
            return value
        raise Unfit(str(unknown_name(self.kind, value, self.known)))


def check(
    where: str, values: Mapping[str, Any], rules: Mapping[str, Rule]
) -> dict[str, Any]:
    """Return values in the types of their rules; others are left as given.

    ``where`` heads the UserError, which lists each key whose value is refused
    with what is allowed.
    """
    checked, problems = dict(values), []
    for key in values.keys() & rules.keys():
        try:
            checked[key] = rules[key](values[key])
        except UserError as error:
            problems.append(f"{key}: {error}")
    if problems:
        raise UserError.collect(where, sorted(problems))
    return checked
