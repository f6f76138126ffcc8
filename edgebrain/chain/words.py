"""Let a script look at its options, and name what it refuses."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
import re

from edgebrain.chain.steps import words
from edgebrain.errors import nearest

_OPTION = re.compile(r"--([A-Za-z0-9_]+)")
#: The option that a message begins with, unless it is about two of them.
_FIRST = re.compile(r"--([A-Za-z0-9_]+):? (?!and )")


class _Refused(Exception):
    """What a parser refuses, and the options that it knows."""

    def __init__(self, parser: argparse.ArgumentParser, message: str):
        super().__init__(message)
        actions = parser._actions
        self.known = [s for a in actions for s in a.option_strings]


def option_problems(
    module, section: str, head: list[str], options: dict
) -> dict[str, str]:
    """Return what a script finds wrong with its options.

    Arguments
    ---------
    module : module
        Has ``parse(words)`` and, where it can tell more, ``check(arguments)``
        which returns a dict of option to fault.
    section : str
        Of the configuration.
    head : list of str
        Words that the chain gives.
    options : dict

    Returns
    -------
    dict of str to str
        "section.key" to the fault and its mend.
    """
    problems, options = {}, dict(options)
    while True:
        try:
            with _parsers_that_raise():
                arguments = module.parse([*head, *words(options)])
            break
        except _Refused as refused:
            found = _explain(refused, options)
        problems |= {k: v for k, v in found.items() if k not in problems}
        wrong = [key for key in found if key in options]
        if not wrong:
            return _in_section(problems, section)
        for key in wrong:
            del options[key]
    if hasattr(module, "check"):
        problems |= module.check(arguments)
    return _in_section(problems, section)


def _in_section(problems: dict[str, str], section: str) -> dict[str, str]:
    named = {}
    for key, text in problems.items():
        first = _FIRST.match(text)
        if first:
            key, text = first[1], text[first.end() :]
        named[f"{section}.{key}" if key else section] = text
    return named


def _explain(refused: _Refused, options: dict) -> dict[str, str]:
    """Return the options that a message is about, and what to say of them."""
    message = str(refused)
    named = _OPTION.findall(message)
    if message.startswith("unrecognized arguments"):
        return {
            key: _unknown(key, refused.known) for key in named if key in options
        } or {"": message}
    if "are required" in message:
        return dict.fromkeys(named, "is missing") or {"": message}
    _, colon, fault = message.partition(": ")
    if message.startswith("argument ") and colon and named:
        return {named[0]: fault}
    return {key: message for key in named[:1]} or {"": message}


def _unknown(key: str, known: list[str]) -> str:
    close = nearest(f"--{key}", known)
    hint = f": did you mean {close[0].removeprefix('--')}?" if close else ""
    return f"no such option{hint}"


@contextmanager
def _parsers_that_raise() -> Iterator[None]:
    """Have what parsers would print and exit with raised instead."""

    def error(self, message):
        raise _Refused(self, message)

    usual = argparse.ArgumentParser.error
    argparse.ArgumentParser.error = error
    try:
        yield
    finally:
        argparse.ArgumentParser.error = usual
