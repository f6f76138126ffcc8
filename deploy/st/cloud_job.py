"""One step in the developer cloud: wait for it, log it, judge it."""

from collections.abc import Callable, Iterable
from pathlib import Path
import shutil
import time

from deploy.st.cloud_http import CloudError
from deploy.st.commands import OUTPUT
from deploy.st.tool import FAILURES, StepResult

POLL_SECONDS = 2.0
_SHOWN = 3


class Job:
    """One step: what it says, and where it leaves what it makes.

    Arguments
    ---------
    folder : Path
        Of the package.
    name : str
    say : callable
        Takes a line of progress.
    """

    def __init__(self, folder: Path, name: str, say: Callable):
        self.folder = folder
        self.output = folder / OUTPUT / name
        self._name = name
        self._say = say
        self._log = folder / OUTPUT / f"{name}.log"

    def run(self, act: Callable, artefacts: Iterable) -> StepResult:
        """Do the step and judge it by its files.

        Arguments
        ---------
        act : callable
            Takes this job, returns what to say of it, raises CloudError.
        artefacts : iterable of tuple of str
            As of :class:`deploy.st.commands.Step`.
        """
        shutil.rmtree(self.output, ignore_errors=True)
        self.output.mkdir(parents=True)
        self._log.write_text("", encoding="utf-8")
        try:
            reason = act(self)
            for group in artefacts:
                if not any(
                    path.is_file() and path.stat().st_size
                    for name in group
                    for path in self.output.rglob(name)
                ):
                    raise CloudError(f"gave no {' or '.join(group)}")
        except CloudError as error:
            self.log(f"failed: {error}")
            return StepResult(self._name, False, str(error), self._log)
        finally:
            if not any(self.output.iterdir()):
                self.output.rmdir()
        self.log("done")
        return StepResult(self._name, True, reason, self._log)

    def log(self, text: str) -> None:
        """Add a line to the log."""
        with self._log.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def wait(self, ask: Callable, done: Callable, seconds: float) -> dict:
        """Return the last answer of a run.

        Arguments
        ---------
        ask : callable
            Returns the answer of now.
        done : callable
            Tells whether an answer is the last.
        seconds : float
            How long a state may last.

        Raises
        ------
        CloudError
            When it fails, or its state stays the same for so many seconds.
        """
        seen, state = set(), None
        while True:
            answer = ask()
            now = str(answer.get("state") or "").lower()
            if now != state:
                state, since = now, time.monotonic()
                self.log(f"state {state or 'not said'}")
            if state and state not in seen:
                seen.add(state)
                self._say(f"{self._name:<9} {state.replace('_', ' ')}")
            if state == "error" or answer.get("status") == "ko":
                raise CloudError(_message(answer))
            if done(answer):
                return answer
            if time.monotonic() - since >= seconds:
                raise CloudError(
                    f"did not end: {state or 'no state'} for {seconds:g} s: "
                    "try again later"
                )
            time.sleep(POLL_SECONDS)

    def judge(self, answer: dict) -> None:
        """Look for the marks of a failure, as in the local tool's output.

        Raises
        ------
        CloudError
        """
        bad = [
            line.strip()
            for text in _texts(answer)
            for line in text.splitlines()
            if any(mark in line for mark in FAILURES)
        ]
        if bad:
            raise CloudError("; ".join(bad[:_SHOWN]))


def _message(answer: dict) -> str:
    """Return what a run that failed says of it."""
    result = answer.get("result")
    places = [answer, result if isinstance(result, dict) else {}]
    for place in places:
        for key in ("message", "error", "errors", "detail"):
            if place.get(key):
                return str(place[key])[:1000]
    return str(result)[:1000] if result else "the service gives no reason"


def _texts(value) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
