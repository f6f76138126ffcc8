"""Put the page into a folder, whole or not at all."""

from collections.abc import Sequence
import json
from pathlib import Path
import shutil

from edgebrain.errors import UserError
from edgebrain.files import check_folder, whole_folder

from deploy.c.generator.emit import delay_samples
from deploy.c.generator.generate import identifier
from deploy.c.generator.program import Program
from deploy.web.examples import write_examples
from deploy.web.wasm import check_tools, compile_model

#: A folder with this file was written by this module and may be written again.
MARK = "contents.json"
_PAGE = Path(__file__).parent / "page"
_DEFAULT = "stream_int8.onnx"


def name_models(paths: Sequence[str | Path]) -> dict[str, Path]:
    """Return models by the name that a visitor reads.

    Arguments
    ---------
    paths : sequence of str or Path
        ONNX files, or folders of released models, whose int8 stream is meant.

    Raises
    ------
    UserError
        When two get one name, or a folder has no such file.
    """
    named = {}
    for path in map(Path, paths):
        name = path.stem
        if path.is_dir():
            name, path = path.resolve().name, path / _DEFAULT
            if not path.is_file():
                raise UserError(
                    f"{path}: is not there; make it with quantize.py, or name "
                    "an ONNX file"
                )
        if identifier(name) in map(identifier, named):
            raise UserError(
                f"{path}: there is a model named {name} before it; rename "
                "one of them"
            )
        named[name] = path
    return named


def build(models: dict[str, Path], folder: str | Path) -> list[dict]:
    """Write the page of some models.

    Arguments
    ---------
    models : dict of str to Path
        Quantized streams by name.
    folder : str or Path
        Made; where this function wrote it before, its files are replaced.

    Returns
    -------
    list of dict
        What the page says of each model, with ``bytes`` of its files.

    Raises
    ------
    UserError
        For a model that cannot become C, without a compiler, or for a folder
        with other contents. Then nothing is written.
    """
    check_tools()
    check_folder(folder, MARK)
    with whole_folder(folder, MARK) as fresh:
        shutil.copytree(_PAGE, fresh, dirs_exist_ok=True)
        entries = [_add(fresh, name, path) for name, path in models.items()]
        (fresh / "examples").mkdir()
        examples = write_examples(fresh / "examples", entries[0]["rate"])
        contents = {"models": entries, "examples": examples}
        text = json.dumps(contents, indent=2) + "\n"
        (fresh / MARK).write_text(text, encoding="utf-8")
    return entries


def _add(folder: Path, name: str, model: Path) -> dict:
    """Compile a model; return what the page says of it."""
    (folder / "models").mkdir(exist_ok=True)
    plain = f"models/{identifier(name)}.wasm"
    vectors = f"models/{identifier(name)}-simd.wasm"
    program = compile_model(model, folder / plain, folder / vectors)
    return {
        "name": name,
        "plain": plain,
        "vectors": vectors,
        "bytes": [(folder / path).stat().st_size for path in (plain, vectors)],
        **_facts(program),
    }


def _facts(program: Program) -> dict:
    card = program.metadata
    signal = card.signal
    late = delay_samples(program) + signal.hop_length
    return {
        "task": card.task,
        "network": card.model_class.rpartition(".")[2],
        "precision": card.precision,
        "macs": program.macs,
        "rate": signal.sample_rate,
        "hop": signal.hop_length,
        "latency": late / signal.sample_rate,
    }
