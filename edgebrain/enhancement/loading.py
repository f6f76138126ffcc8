"""Find out what a path holds and load it as an Enhancer."""

from pathlib import Path

from edgebrain import trained_models
from edgebrain.enhancement.enhancer import Enhancer
from edgebrain.enhancement.forms.c_library import Library, LibraryEnhancer

#: In a folder of ONNX files the first of these that is there is taken.
FORMS = ("stream", "offline", "patch")
#: In a folder of deploy/nnse_tables.py.
_TABLES = "nnse_tables.json"


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

    Example
    -------
    >>> enhancer = load_enhancer("models/tcnn")  # doctest: +SKIP
    >>> enhanced = enhancer.enhance(noisy)  # doctest: +SKIP
    """
    path = Path(path)
    if (path / _TABLES).is_file():
        from edgebrain.enhancement.forms.nnse_runner import load_tables

        trained_models.check_own_settings(path, overrides)
        enhancer = Enhancer(load_tables(path), path)
        trained_models.check_kind(enhancer, path, form, precision)
        return enhancer
    what = (path, form, precision, overrides)
    return trained_models.load(*what, "enhancement", FORMS, Library, _enhancer)


def _enhancer(kind: str, network, path: Path) -> Enhancer:
    if kind == "c":
        return LibraryEnhancer(network, path)
    if kind == "torch":
        from edgebrain.enhancement.forms.torch_runner import TorchRunner

        network = TorchRunner(network)
    return Enhancer(network, path)
