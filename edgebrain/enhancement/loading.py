"""Find out what a path holds and load it as an Enhancer."""

from pathlib import Path

from edgebrain.enhancement.enhancer import Enhancer
from edgebrain.errors import UserError, unknown_name

#: In a folder of ONNX files the first of these that is there is taken.
FORMS = ("stream", "offline", "patch")
PRECISIONS = ("float32", "int16x8", "int8")
#: In a folder of deploy/nnse_tables.py.
_TABLES = "nnse_tables.json"
#: Made with deploy/c_engine.py and a C compiler.
_LIBRARIES = (".so", ".dylib", ".dll")


def load_enhancer(
    path: Path | str,
    form: str | None = None,
    precision: str | None = None,
    **overrides,
) -> Enhancer:
    """Load any form of a trained network.

    Arguments
    ---------
    path : Path or str
        An ONNX file of any form; a results folder ``results/<name>/<seed>``
        (PyTorch, its best checkpoint); a folder of ONNX files such as
        ``models/<name>``; a folder of C tables of deploy/nnse_tables.py;
        a shared library made in a folder of deploy/c_engine.py.
    form : str, optional
        "torch", "stream", "offline" or "patch". Left out: PyTorch for a
        results folder; of a folder of ONNX files the stream form, else the
        offline, else the patch form. An ONNX form of a results folder is
        looked for in its ``export/`` folder.
    precision : str, optional
        "float32", "int16x8" or "int8", chosen from a folder of ONNX files;
        left out: the first of these that is there.
    **overrides
        Settings of an ONNX file that has no metadata of this project, as
        :func:`edgebrain.onnx.runner.load_runner` takes them
        (``n_fft=512``, ...).

    Returns
    -------
    Enhancer

    Raises
    ------
    UserError
        Nothing there that can be run, or not in that form.

    Example
    -------
    >>> enhancer = load_enhancer("models/tcnn")  # doctest: +SKIP
    >>> enhanced = enhancer.enhance(noisy)  # doctest: +SKIP
    """
    path = Path(path)
    if form is not None and form not in ("torch", "c", *FORMS):
        raise unknown_name("form", form, ("torch", "c", *FORMS))
    if precision is not None and precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    if not path.exists():
        raise UserError(
            f"{path}: does not exist; give a results folder "
            "(results/<name>/<seed>), an ONNX file or a models/<name> folder"
        )
    if path.is_file():
        return _load_file(path, form, precision, overrides)
    if (path / _TABLES).is_file():
        return _load_tables(path, form, precision, overrides)
    trained = _holds_checkpoint(path)
    if trained and form in (None, "torch") and precision in (None, "float32"):
        return _load_torch(path, overrides)
    if form == "torch":
        raise UserError(f"{path}: holds no checkpoint, so no PyTorch form")
    folders = [path, path / "export"]
    files = [f for folder in folders for f in sorted(folder.glob("*.onnx"))]
    if not files:
        mend = "give a results folder, an ONNX file or a models/<name> folder"
        if trained:
            mend = "export it first with export_onnx.py"
        raise UserError(f"{path}: holds no ONNX file; {mend}")
    return _load_runner(_choose(path, files, form, precision), overrides)


def _holds_checkpoint(path: Path) -> bool:
    """Tell without torch whether a folder holds weights of a training."""
    patterns = ("model.ckpt", "CKPT*/model.ckpt", "save/CKPT*/model.ckpt")
    return any(True for pattern in patterns for _ in path.glob(pattern))


def _load_torch(path: Path, overrides: dict) -> Enhancer:
    if overrides:
        raise UserError(
            f"{path}: a checkpoint knows its own settings; leave out "
            + ", ".join(f"--{name}" for name in overrides)
        )
    from edgebrain.enhancement.forms.torch_runner import TorchRunner
    from edgebrain.training.results import load_model

    return Enhancer(TorchRunner(load_model(path)), path)


def _load_file(path, form, precision, overrides) -> Enhancer:
    if path.suffix.lower() in _LIBRARIES:
        return _load_library(path, form, precision, overrides)
    if path.suffix.lower() != ".onnx":
        raise UserError(
            f"{path}: is not an ONNX file (*.onnx), a C library (*.so) nor a "
            "results folder"
        )
    enhancer = _load_runner(path, overrides)
    _check_kind(enhancer, path, form, precision)
    return enhancer


def _check_kind(enhancer: Enhancer, path, form, precision) -> None:
    for what, got, wanted in (
        ("form", enhancer.form, form),
        ("precision", enhancer.precision, precision),
    ):
        if wanted is not None and got != wanted:
            raise UserError(f"{path}: its {what} is {got}, not {wanted}")


def _load_tables(path, form, precision, overrides) -> Enhancer:
    from edgebrain.enhancement.forms.nnse_tables import load_tables

    if overrides:
        raise UserError(
            f"{path}: the tables know their settings; leave out "
            + ", ".join(f"--{name}" for name in overrides)
        )
    enhancer = Enhancer(load_tables(path), path)
    _check_kind(enhancer, path, form, precision)
    return enhancer


def _load_library(path, form, precision, overrides) -> Enhancer:
    from edgebrain.enhancement.forms.c_library import Library, LibraryEnhancer

    if overrides:
        raise UserError(
            f"{path}: a C library knows its settings; leave out "
            + ", ".join(f"--{name}" for name in overrides)
        )
    enhancer = LibraryEnhancer(Library(path), path)
    _check_kind(enhancer, path, form, precision)
    return enhancer


def _load_runner(path: Path, overrides: dict) -> Enhancer:
    from edgebrain.onnx.runner import load_runner

    return Enhancer(load_runner(path, **overrides), path)


def _choose(path, files, form, precision) -> Path:
    """Return the file of the wanted, or else the preferred, form."""
    from edgebrain.onnx.metadata import read

    found = []
    for file in files:
        metadata = read(file)
        if metadata is not None:
            found.append((metadata.form, metadata.precision, file))
    if not found:
        raise UserError(
            f"{path}: none of its {len(files)} ONNX files carries metadata of "
            "this project; give one of the files and its settings"
        )
    for a_precision in [precision] if precision else PRECISIONS:
        for a_form in [form] if form else FORMS:
            for got_form, got_precision, file in found:
                if (got_form, got_precision) == (a_form, a_precision):
                    return file
    there = ", ".join(sorted({f"{f} {p}" for f, p, _ in found}))
    wanted = " ".join(w for w in (form, precision) if w)
    raise UserError(f"{path}: has no {wanted} form, only: {there}")
