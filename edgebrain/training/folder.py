"""What may be done in an output folder: made, kept, gone on with."""

import contextlib
import datetime
import fcntl
from functools import partial
import hashlib
from importlib import metadata
import inspect
import io
import json
import os
from pathlib import Path
import shutil
import socket
import subprocess
import sys

from edgebrain.errors import UserError
from edgebrain.files import free_bytes, write_json
from edgebrain.training.config import WRITTEN, changed_keys, flatten, resolve
from edgebrain.training.loggers import write_log
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

_SPARE_MB = 50


def make_folder(folder, hparams_file, overrides, test_only) -> None:
    """Make the output folder, this process's own as long as it runs.

    As SpeechBrain's ``create_experiment_directory``, whose log holds what
    every library has to tell.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _lock(folder)
    if not test_only:
        (folder / "hyperparams.yaml").write_text(
            f"{WRITTEN}{datetime.date.today()} from:\n"
            f"# {Path(hparams_file).absolute()}\n# yamllint disable\n"
            + resolve(hparams_file, overrides),
            encoding="utf-8",
        )
        script = Path(sys.argv[0])
        if script.suffix == ".py" and script.is_file():
            shutil.copy(script, folder)
    write_log(folder / "log.txt")
    (folder / "env.log").write_text(_environment(), encoding="utf-8")


def _environment() -> str:
    """Return the versions of Python, all packages and the repository.

    SpeechBrain asks the first pip on the PATH, which takes a second and may
    be that of another environment.
    """
    known = {f"{d.name}=={d.version}" for d in metadata.distributions()}
    command = ["git", "rev-parse", "--short", "HEAD"]
    with contextlib.suppress(OSError):  # without git, no revision
        done = subprocess.run(command, capture_output=True, text=True)
        known.add(f"git revision {done.stdout.strip() or 'unknown'}")
    return "\n".join([f"Python {sys.version}", *sorted(known), ""])


_locks: dict[tuple[int, int], io.TextIOBase] = {}


def _lock(folder: Path) -> None:
    """Refuse a folder that another process trains in.

    The system gives the lock back when the process ends, however it ends.
    """
    file = (folder / ".lock").open("a+")
    stat = os.fstat(file.fileno())
    if (stat.st_dev, stat.st_ino) in _locks:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        raise UserError(
            f"{folder}: {file.read().strip() or 'another process'} is at work "
            "there; wait for it, or give another output_folder"
        ) from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    _locks[stat.st_dev, stat.st_ino] = file


def check_unchanged(hparams_file, hparams, overrides, test_only) -> None:
    """Refuse to go on with other settings than those that began here."""
    folder = Path(hparams["output_folder"])
    before = folder / "hyperparams.yaml"
    has_checkpoint = any(Path(hparams["save_folder"]).glob("CKPT*"))
    if not before.is_file() or not has_checkpoint:
        return
    planned = _plans_ahead(hparams.get("lr_scheduler"))
    ignore = () if planned else ("number_of_epochs",)
    new = flatten(hparams_file, overrides)
    changed = changed_keys(flatten(str(before)), new, ignore)
    if not changed:
        return
    test_folder = Path(hparams["test_folder"])
    if test_only and not (test_folder / "metrics.json").exists():
        logger.info("Testing with other settings: " + "; ".join(changed))
        return
    mend = "use another output_folder"
    if test_only:
        mend = "use another test_folder"
    elif all(line.startswith("number_of_epochs") for line in changed):
        mend = (
            "its learning rate was planned for that many epochs: use another "
            f"output_folder with --init_from {folder}"
        )
    raise UserError.collect(
        f"{folder} was made with other settings; {mend}", changed
    )


def _plans_ahead(scheduler) -> bool:
    """Tell whether a schedule depends on the number of epochs."""
    target = getattr(scheduler, "func", scheduler)
    if not isinstance(scheduler, partial | type):
        return False
    return "total_steps" in inspect.signature(target).parameters


def check_disk(folder, model) -> None:
    """Refuse when the checkpoints will not fit."""
    numbers = sum(p.numel() for p in model.state_dict().values())
    # weights and two moments, for last, best and the one being written
    needed = numbers * 4 * 3 * 3 / 2**20 + _SPARE_MB
    free = free_bytes(folder) / 2**20
    if free < needed:
        raise UserError(
            f"{folder}: {needed:.0f} MiB are needed for checkpoints and "
            f"results, {free:.0f} MiB are free; make room or set output_folder"
        )


def check_content(folder: Path, save_folder) -> None:
    """Refuse other data than a training began with.

    Data are known by what the manifests say of each item, but its path.
    """
    content = {
        path.stem: _content(json.loads(path.read_text(encoding="utf-8")))
        for path in sorted((folder / "manifests").glob("*.json"))
    }
    known = folder / "data.json"
    if known.is_file() and any(Path(save_folder).glob("CKPT*")):
        before = json.loads(known.read_text(encoding="utf-8"))
        changed = [
            f"{name}: {before.get(name, {}).get('items', 0)} items then, "
            f"{content.get(name, {}).get('items', 0)} now"
            for name in before.keys() | content.keys()
            if before.get(name) != content.get(name)
        ]
        if changed:
            raise UserError.collect(
                f"{folder} was trained on other data; use another "
                "output_folder, or --test_only with another test_folder",
                sorted(changed),
            )
        return
    write_json(known, content)


def _content(entries: dict) -> dict:
    """Return how many items a manifest has, and a hash of all but paths."""
    items = {
        name: {k: v for k, v in entry.items() if "/" not in str(v)}
        for name, entry in entries.items()
    }
    text = json.dumps(items, sort_keys=True)
    return {
        "items": len(items),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
