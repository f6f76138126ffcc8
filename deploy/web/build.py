"""Put the page into a folder, whole or not at all."""

from collections.abc import Sequence
import json
from pathlib import Path
import shutil

from edgebrain.errors import UserError
from edgebrain.events.patches import unknown_below
from edgebrain.events.timeline import DEFAULT_RULES as RULES
from edgebrain.files import check_folder, whole_folder
from edgebrain.trained_models import task_of

from deploy.c.generator.emit import Emitter, delay_samples
from deploy.c.generator.emit_patch import PatchEmitter
from deploy.c.generator.generate import identifier
from deploy.c.generator.read import TAKEN
from deploy.web.examples import write_examples
from deploy.web.wasm import check_tools, compile_model

#: A folder with this file was written by this module and may be written again.
MARK = "contents.json"
_PAGE = Path(__file__).parent / "page"


def name_models(paths: Sequence[str | Path]) -> dict[str, Path]:
    """Return models by the name that a visitor reads.

    Arguments
    ---------
    paths : sequence of str or Path
        ONNX files, or folders of released models, of which the int8 file that
        C is made of is meant.

    Raises
    ------
    UserError
        When two get one name, or a folder has no such file.
    """
    named = {}
    for path in map(Path, paths):
        name = path.stem
        if path.is_dir():
            form, _ = TAKEN[task_of(path)]
            name, path = path.resolve().name, path / f"{form}_int8.onnx"
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
        Quantized ONNX files by name.
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
        tasks = {entry["task"]: entry["rate"] for entry in entries}
        examples = write_examples(fresh / "examples", tasks)
        contents = {"models": entries, "examples": examples}
        text = json.dumps(contents, indent=2) + "\n"
        (fresh / MARK).write_text(text, encoding="utf-8")
    return entries


def _add(folder: Path, name: str, model: Path) -> dict:
    """Compile a model; return what the page says of it."""
    (folder / "models").mkdir(exist_ok=True)
    plain = f"models/{identifier(name)}.wasm"
    vectors = f"models/{identifier(name)}-simd.wasm"
    emitter = compile_model(model, folder / plain, folder / vectors)
    return {
        "name": name,
        "plain": plain,
        "vectors": vectors,
        "bytes": [(folder / path).stat().st_size for path in (plain, vectors)],
        **_facts(emitter),
    }


def _facts(emitter: Emitter | PatchEmitter) -> dict:
    program, card = emitter.program, emitter.program.metadata
    signal = card.signal
    facts = {
        "task": card.task,
        "network": card.model_class.rpartition(".")[2],
        "precision": card.precision,
        "rate": signal.sample_rate,
        "hop": signal.hop_length,
    }
    if isinstance(emitter, PatchEmitter):
        return facts | {
            "macs": program.frame_macs(emitter.step),
            # In frames: what scores are of, and from one time to the next.
            "window": emitter.patch,
            "step": emitter.step,
            "class_names": card.class_names,
            "multi_label": bool(card.features["multi_label"]),
            # Where events begin and end, as detect.py has it.
            "on": max(unknown_below(card.features) or RULES.on, RULES.off),
            "off": RULES.off,
        }
    late = delay_samples(program) + signal.hop_length
    return facts | {
        "macs": program.macs,
        "latency": late / signal.sample_rate,
    }
