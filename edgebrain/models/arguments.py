"""Checking of constructor arguments, all faults in one error."""

from collections.abc import Iterable

from edgebrain.errors import UserError, unknown_name


class Arguments:
    """Collects what is wrong with the arguments of one constructor.

    >>> check = Arguments("STFTTCNN")
    >>> check.integer("n_blocks", 0, low=1)
    >>> check.finish()
    Traceback (most recent call last):
        ...
    edgebrain.errors.UserError: STFTTCNN: bad arguments: n_blocks must ...
    """

    def __init__(self, owner: str):
        self.owner = owner
        self.problems: list[str] = []

    def integer(self, name: str, value, low: int = 1) -> None:
        """Require a whole number of at least ``low``."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < low:
            self.problems.append(
                f"{name} must be a whole number of at least {low}, "
                f"got {value!r}"
            )

    def number(self, name: str, value, low: float, high: float) -> None:
        """Require ``low <= value <= high``."""
        real = isinstance(value, int | float) and not isinstance(value, bool)
        if not real or not low <= value <= high:
            self.problems.append(
                f"{name} must be a number from {low:g} to {high:g}, "
                f"got {value!r}"
            )

    def flag(self, name: str, value) -> None:
        """Require True or False."""
        if not isinstance(value, bool):
            self.problems.append(f"{name} must be True or False, got {value!r}")

    def choice(self, name: str, value, known: Iterable[str]) -> None:
        """Require one of the known names; name the nearest otherwise."""
        known = list(known)
        if value not in known:
            self.problems.append(str(unknown_name(name, value, known)))

    def require(self, holds: bool, problem: str) -> None:
        """Note ``problem`` unless ``holds``."""
        if not holds:
            self.problems.append(problem)

    def finish(self) -> None:
        """Raise a UserError that lists every problem, if there is one."""
        if self.problems:
            raise UserError.collect(
                f"{self.owner}: bad arguments", self.problems
            )
