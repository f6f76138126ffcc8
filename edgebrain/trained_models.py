"""Find out what a path holds of a trained network, and load it, of any task."""

from collections.abc import Callable, Sequence
import json
from pathlib import Path
from typing import Any

from edgebrain import tasks
from edgebrain.errors import UserError, unknown_name

#: In a folder of ONNX files the first of these that is there is taken.
PRECISIONS = ("float32", "int16x8", "int8")
#: Made with deploy/c_engine.py and a C compiler.
LIBRARIES = (".so", ".dylib", ".dll")
#: Where weights, or their card, lie below a folder that is given.
_CHECKPOINTS = ("", "CKPT*/", "save/CKPT*/")
_MEND = "give a results folder, an ONNX file or a models/<name> folder"


def locate(
    path: Path | str,
    form: str | None,
    precision: str | None,
    forms: tuple[str, ...],
) -> tuple[str, Path]:
    """Return what is to be loaded: ``torch``, ``onnx`` or ``c``, and its path.

    Arguments
    ---------
    path : Path or str
        A results folder, a checkpoint, a folder of ONNX files, an ONNX file,
        a shared library.
    form : str, optional
        ``torch``, ``c`` or one of ``forms``; left out: PyTorch for a results
        folder, else the first of ``forms`` that is there.
    precision : str, optional
        Left out: the first of :data:`PRECISIONS` that is there.
    """
    path, known = Path(path), ("torch", "c", *forms)
    if form is not None and form not in known:
        raise unknown_name("form", form, known)
    if precision is not None and precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    if not path.exists():
        raise UserError(f"{path}: does not exist; {_MEND}")
    if path.is_file():
        suffix = path.suffix.lower()
        if suffix in LIBRARIES:
            return "c", path
        if suffix == ".onnx":
            return "onnx", path
        raise UserError(
            f"{path}: is not an ONNX file (*.onnx), a C library (*.so) nor a "
            "results folder"
        )
    trained = any(
        True for place in _CHECKPOINTS for _ in path.glob(f"{place}model.ckpt")
    )
    if trained and form in (None, "torch") and precision in (None, "float32"):
        return "torch", path
    if form == "torch":
        raise UserError(f"{path}: holds no checkpoint, so no PyTorch form")
    files = _onnx_files(path)
    if not files:
        mend = "export it first with export_onnx.py" if trained else _MEND
        raise UserError(f"{path}: holds no ONNX file; {mend}")
    return "onnx", _choose(path, files, form, precision, forms)


def check_kind(
    model: tasks.Model,
    path: Path | str,
    form: str | None,
    precision: str | None,
) -> None:
    """Refuse a model that is in another form or precision than asked for."""
    for what, got, wanted in (
        ("form", model.form, form),
        ("precision", model.precision, precision),
    ):
        if wanted is not None and got != wanted:
            raise UserError(f"{path}: its {what} is {got}, not {wanted}")


def check_own_settings(path: Path | str, settings: dict[str, Any]) -> None:
    """Refuse settings for what knows its own."""
    if settings:
        options = ", ".join(f"--{name}" for name in settings)
        raise UserError(f"{path}: knows its own settings; leave out {options}")


def load(
    path: Path | str,
    form: str | None,
    precision: str | None,
    settings: dict[str, Any],
    task: str,
    forms: tuple[str, ...],
    library: Callable[[Path], Any],
    make: Callable[[str, Any, Path], tasks.Model],
) -> tasks.Model:
    """Load a network of one task, in any form.

    Arguments
    ---------
    path, form, precision, forms
        As of :func:`locate`.
    settings : dict
        Of an ONNX file, see :func:`edgebrain.onnx.runner.load_runner`.
    library : callable
        Opens a C library of the task.
    make : callable
        ``make(kind, network, place)`` returns the model of a LoadedModel
        (``torch``), an OnnxRunner (``onnx``) or a library (``c``).
    """
    kind, place = locate(path, form, precision, forms)
    if kind == "onnx":
        from edgebrain.onnx.runner import load_runner

        network = load_runner(place, **settings)
    else:
        check_own_settings(path, settings)
        if kind == "torch":
            from edgebrain.training.results import load_model

            network = load_model(place)
        else:
            network = library(place)
    if network.setup.task != task:
        raise UserError(
            f"{place}: is a network of {network.setup.task}, not of {task}"
        )
    model = make(kind, network, place)
    if kind != "torch":
        check_kind(model, path, form, precision)
    return model


def task_of(path: Path | str) -> str:
    """Return the name of the task of a model, as its card says."""
    path = Path(path)
    for place in _CHECKPOINTS:
        for card in sorted(path.glob(f"{place}model_card.ckpt")):
            content = json.loads(card.read_text(encoding="utf-8"))
            return content.get("task", tasks.DEFAULT)
    if path.suffix.lower() in LIBRARIES:
        from edgebrain.shared_library import Library

        return Library(path, {}).setup.task
    from edgebrain.onnx.files import read_card

    for card in map(read_card, [path] if path.is_file() else _onnx_files(path)):
        if card is not None:
            return card.task
    return tasks.DEFAULT


def model_names(paths: Sequence[Path | str]) -> list[str]:
    """Return a short name for each path, none twice.

    As many of the last parts of the path as it takes to tell them apart.

    >>> model_names(["results/tcnn/1234", "models/tcnn/tcnn_int8.onnx"])
    ['tcnn/1234', 'tcnn_int8']
    """
    split = []
    for path in map(Path, paths):
        parts = [p for p in path.resolve().parts if p != "/"]
        if path.suffix == ".onnx":
            parts[-1] = path.stem
            split.append((parts, 1))
        else:
            # The last part of a results folder is a seed.
            split.append((parts, 2 if parts[-1].isdigit() else 1))
    names = ["/".join(parts[-count:]) for parts, count in split]
    for number, (parts, count) in enumerate(split):
        others = [other for other, _ in split if other != parts]
        while any(other[-count:] == parts[-count:] for other in others):
            count += 1
        names[number] = "/".join(parts[-count:])
    return [
        name if name not in names[:i] else f"{name} ({i + 1})"
        for i, name in enumerate(names)
    ]


def _onnx_files(folder: Path) -> list[Path]:
    places = (folder, folder / "export")
    return [f for place in places for f in sorted(place.glob("*.onnx"))]


def _choose(path, files, form, precision, forms) -> Path:
    """Return the file of the wanted, or else the preferred, form."""
    from edgebrain.onnx.files import read_card

    found = []
    for file in files:
        card = read_card(file)
        if card is not None:
            found.append((card.form, card.precision, file))
    if not found:
        raise UserError(
            f"{path}: none of its {len(files)} ONNX files carries metadata of "
            "this project; give one of the files and its settings"
        )
    for a_precision in [precision] if precision else PRECISIONS:
        for a_form in [form] if form else forms:
            for got_form, got_precision, file in found:
                if (got_form, got_precision) == (a_form, a_precision):
                    return file
    there = ", ".join(sorted({f"{f} {p}" for f, p, _ in found}))
    wanted = " ".join(w for w in (form, precision) if w)
    raise UserError(f"{path}: has no {wanted} form, only: {there}")
