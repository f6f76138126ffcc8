"""Run ST Edge AI Core on a package and judge what it did."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
import shutil
import subprocess

from edgebrain.errors import UserError

from deploy.st.commands import OUTPUT, Step

PROGRAM = "stedgeai"
#: In the output of a run that failed, whatever its exit code.
FAILURES = ("TOOL ERROR", "INTERNAL ERROR", "NOT IMPLEMENTED", "E103(")
_TIMEOUT = 3600
_SHOWN = 3


@dataclass(frozen=True)
class StepResult:
    """What became of one command.

    ``reason``: why it failed; of ``version`` the first line of the output.
    """

    name: str
    ok: bool
    reason: str
    log: Path


def find_tool(given: str | None) -> Path | None:
    """Return the program, None where there is none on the PATH."""
    if given is None:
        found = shutil.which(PROGRAM)
        return Path(found) if found else None
    found = shutil.which(given)
    if found is None:
        raise UserError(
            f"--stedgeai {given}: no such program: give the path of the "
            "stedgeai executable (Utilities/<system>/stedgeai of its folder)"
        )
    return Path(found).resolve()


def run_steps(
    program: Path, folder: Path, todo: Iterable[Step], timeout: int = _TIMEOUT
) -> list[StepResult]:
    """Run commands in a package until one fails."""
    results = []
    for step in todo:
        results.append(_run(program, folder, step, timeout))
        if not results[-1].ok:
            break
    return results


def _run(program: Path, folder: Path, step: Step, timeout: int) -> StepResult:
    output = folder / OUTPUT / step.name
    # What an earlier run left must not pass for a result of this one.
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    log = folder / OUTPUT / f"{step.name}.log"
    try:
        done = subprocess.run(
            [str(program), *step.words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        log.write_bytes(error.stdout or b"")
        return StepResult(
            step.name, False, f"did not end within {timeout} s", log
        )
    except OSError as error:
        log.write_text(str(error))
        return StepResult(step.name, False, f"cannot be started: {error}", log)
    log.write_bytes(done.stdout)
    text = done.stdout.decode("utf-8", errors="replace")
    reason = _judge(step, output, text, done.returncode)
    if reason is None and not step.artefacts:
        return StepResult(step.name, True, _first(text), log)
    return StepResult(step.name, reason is None, reason or "", log)


def _judge(step: Step, output: Path, text: str, code: int) -> str | None:
    """Return why a run failed, None where it did not."""
    bad = [
        line.strip()
        for line in text.splitlines()
        if any(mark in line for mark in FAILURES)
    ]
    if bad:
        return "; ".join(bad[:_SHOWN])
    gone = missing(output, step.artefacts)
    if gone:
        return f"{gone} (exit code {code})"
    if not step.artefacts and (code or not text.strip()):
        return f"gave no version (exit code {code})"
    return None


def missing(output: Path, artefacts: Iterable) -> str | None:
    """Return which group of files a step left none of, None where all is."""
    for group in artefacts:
        if not any(
            path.is_file() and path.stat().st_size
            for name in group
            for path in output.rglob(name)
        ):
            wanted = " or ".join("any file" if n == "*" else n for n in group)
            return f"wrote no {wanted}"
    return None


def _first(text: str) -> str:
    return next((x.strip() for x in text.splitlines() if x.strip()), "")
