"""Read a recipe's command line and yaml, and refuse what cannot be meant.

``python train.py train.yaml --key value`` is SpeechBrain's convention. Its
own parser accepts any key and corrupts values that hold ``=``; here each
override must exist in the yaml (or be a run option of SpeechBrain), each value
must follow the rule of its key, and each ``!new:``, ``!name:`` and ``!apply:``
is checked before anything is built.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
import copy
import dataclasses
import functools
import inspect
import io
import os
from pathlib import Path
import pydoc
import re
from typing import Any

from edgebrain.checks import check
from edgebrain.errors import UserError, nearest, unknown_name
from edgebrain.training.keys import (
    ALIASES,
    PATHS,
    RULES,
    RUN_OPTIONS,
    RUNTIME,
)
from edgebrain.training.renamed import current_names
from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from speechbrain.utils.run_opts import RunOptions
import torch

_RUN_OPTIONS = {
    f.name
    for f in dataclasses.fields(RunOptions)
    if f.name not in ("param_file", "overridden_args")
}
#: How a yaml begins that was written into an output folder.
WRITTEN = "# Generated "
_REFERENCE = re.compile(r"<([A-Za-z_]\w*)")


def parse_arguments(
    argv: list[str], known: Iterable[str] = ()
) -> tuple[str, RunOptions, dict]:
    """Split a command line into yaml file, run options and overrides.

    Arguments
    ---------
    argv : list of str
        ``[train.yaml, --key, value, --key=value, ...]``. A run option of
        SpeechBrain that is a switch may stand alone (``--debug``).
    known : iterable of str
        Keys that the caller's code reads: they may be given although the
        yaml does not list them.

    Returns
    -------
    hparams_file : str
    run_opts : speechbrain.utils.run_opts.RunOptions
    overrides : dict
        Key to value, values read as yaml.
    """
    argv = list(argv)
    if argv[:1] and argv[0] in ("-h", "--help"):
        raise SystemExit(_usage())
    if not argv or argv[0].startswith("--"):
        raise UserError(
            "the first argument must be the yaml file, as in "
            "'python train.py train.yaml --data_folder /path'"
        )
    hparams_file, rest = argv[0], argv[1:]
    keys = {*_read_yaml(hparams_file), *(set(known) - _RUN_OPTIONS)}
    options, overrides = {}, {}
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise UserError(f"expected --key value, got {word!r}")
        key, has_value, value = word[2:].partition("=")
        if not has_value and rest and not rest[0].startswith("--"):
            value, has_value = rest.pop(0), "="
        if key in keys:
            if not has_value:
                raise UserError(f"--{key} needs a value")
            overrides[key] = _value(key, value)
        elif key in _RUN_OPTIONS:
            options[key] = value if has_value else "True"
        elif ALIASES.get(key) in keys:
            raise UserError(
                f"unknown key {key!r}: did you mean {ALIASES[key]}?"
            )
        else:
            raise unknown_name("key", key, [*keys, *_RUN_OPTIONS])
    options = check("the options cannot be used", options, RUN_OPTIONS)
    on_cpu = options.get("device") == "cpu" or not torch.cuda.is_available()
    if os.environ.get("RANK") and on_cpu:  # torchrun; nccl is for GPUs
        options.setdefault("distributed_backend", "gloo")
    run_opts = RunOptions(
        param_file=hparams_file, overridden_args=set(options), **options
    )
    return hparams_file, run_opts, overrides


def _usage() -> str:
    options = ", ".join(sorted(_RUN_OPTIONS))
    return (
        "usage: python train.py train.yaml [--key value ...]\n"
        "Each key is a top-level key of the yaml, or one of SpeechBrain's "
        f"run options: {options}"
    )


def _value(key: str, word: str):
    try:
        return YAML(typ="safe").load(io.StringIO(word))
    except YAMLError:
        raise UserError(
            f"--{key} {word}: is no value of yaml; put quotes around text"
        ) from None


def load_hparams(
    hparams_file: str,
    overrides: dict,
    keys: Mapping[str, Callable | None] = {},
) -> dict:
    """Build everything that the yaml describes.

    Arguments
    ---------
    keys : mapping of str to callable or None
        Top-level keys that the caller's code reads, with their rules (see
        :mod:`edgebrain.training.keys`). Any other key must be referenced
        inside the yaml.
    """
    _check_yaml(hparams_file, overrides, set(keys))
    rules = RULES | {key: rule for key, rule in keys.items() if rule}
    try:
        text = resolve(hparams_file, overrides)
        numbers = _checked(hparams_file, _parsed(text), rules)
        hparams = load_hyperpyyaml(text, numbers or None)
    except UserError:
        raise
    except (TypeError, ValueError, ImportError, KeyError, YAMLError) as error:
        reason = error.__cause__ or error
        if isinstance(reason, UserError):
            raise reason from None
        raise UserError(f"{hparams_file}: {reason}") from error
    built = {k: v for k, v in hparams.items() if k not in numbers}
    return {**hparams, **check(f"{hparams_file} cannot be used", built, rules)}


def _checked(hparams_file, tree, rules) -> dict:
    """Check plain values before anything is built; return those to replace.

    pyyaml reads 1e-3 as text; its rule makes it a number.
    """
    plain = {
        key: value
        for key, value in tree.items()
        if key in rules
        and not isinstance(value, CommentedMap)
        and not _tag(value).startswith("!")
    }
    checked = check(f"{hparams_file} cannot be used", plain, rules)
    return {
        key: value
        for key, value in checked.items()
        if isinstance(plain[key], str) and not isinstance(value, str)
    }


def resolve(hparams_file: str, overrides: dict) -> str:
    """Return a yaml with overrides applied and references resolved.

    A mapping given for something that is built (``!new:``, ``!name:``)
    changes those of its arguments that it names; anything else that is
    given replaces what stands there.
    """
    tree = _read_yaml(hparams_file)
    _override(tree, overrides)
    text = io.StringIO()
    YAML().dump(tree, text)
    try:
        return resolve_references(text.getvalue()).getvalue()
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{hparams_file}: {error}") from error


def _override(tree, overrides) -> None:
    for key, value in overrides.items():
        there = tree.get(key)
        built = isinstance(there, CommentedMap) and _tag(there).startswith("!")
        if built and isinstance(value, Mapping):
            _override(there, value)
        else:
            tree[key] = value


def as_trained(hparams_file: str, overrides: dict) -> tuple[str, dict]:
    """Return the yaml that an output folder was made with, for a test.

    Folders keep the places that they have now; what else was given on the
    command line is given still. Where nothing was trained, all stays.
    """
    now = _parsed(resolve(hparams_file, overrides))
    before = Path(str(now.get("output_folder"))) / "hyperparams.yaml"
    if not before.is_file():
        return hparams_file, overrides
    places = {
        key: now[key]
        for key in PATHS & now.keys() & _read_yaml(before).keys()
        if now[key] is not None and not _tag(now[key]).startswith("!")
    }
    return str(before), {**places, **overrides}


def flatten(hparams_file: str, overrides: dict | None = None) -> dict:
    """Return the resolved yaml as flat ``{"a.b.0": "value"}`` strings.

    Tags count as values, so two yamls that build the same things compare
    equal whatever their comments and order. What a value takes of a folder
    is replaced by the key of that folder: a folder may be moved.
    """
    flat: dict[str, str] = {}
    tree = _parsed(resolve(hparams_file, overrides or {}))
    for path, node in _walk(tree):
        if _tag(node).startswith("!"):
            flat[f"{path}!"] = _tag(node)
        if not isinstance(node, CommentedMap | CommentedSeq):
            flat[path] = str(getattr(node, "value", node))
    places = sorted(
        ((flat[k], f"<{k}>") for k in PATHS & flat.keys() if "/" in flat[k]),
        key=lambda place: -len(place[0]),
    )
    for key, value in flat.items():
        for place, name in places:
            value = value.replace(place, name)
        flat[key] = value
    return flat


def changed_keys(old: dict, new: dict, ignore: Iterable[str] = ()) -> list:
    """Return ``"key: old -> new"`` lines for two flattened configurations.

    Arguments
    ---------
    ignore : iterable of str
        Top-level keys whose change does not matter, besides those that
        never do (:data:`edgebrain.training.keys.RUNTIME`).
    """
    ignore = {*ignore, *RUNTIME, *PATHS}
    lines = []
    for key in sorted(old.keys() | new.keys()):
        if key.split(".")[0] in ignore or old.get(key) == new.get(key):
            continue
        before, after = (d.get(key, "(absent)") for d in (old, new))
        lines.append(f"{key}: {before} -> {after}")
    return lines


def _text(path: str) -> str:
    return current_names(Path(path).read_text(encoding="utf-8"))


@functools.lru_cache(maxsize=8)
def _parsed(text: str):
    """Return what a yaml holds, not to be changed: a training asks often."""
    return YAML().load(text)


def _read_yaml(path: str) -> CommentedMap:
    """Return the top-level mapping with tags and comments kept."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such yaml file")
    try:
        tree = copy.deepcopy(_parsed(_text(path)))
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid yaml: {error}") from None
    if not isinstance(tree, CommentedMap):
        raise UserError(f"{path}: must be a mapping of keys to values")
    return tree


def _tag(node) -> str:
    tag = getattr(node, "tag", None)
    return str(getattr(tag, "value", "") or "")


def _walk(node, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each node of a tree, from above, with its place as "a.b.0"."""
    yield path, node
    inside = ()
    if isinstance(node, CommentedMap):
        inside = node.items()
    elif isinstance(node, CommentedSeq):
        inside = enumerate(node)
    for key, value in inside:
        yield from _walk(value, f"{path}.{key}" if path else str(key))


def _check_yaml(path: str, overrides: dict, known: set) -> None:
    tree = _read_yaml(path)
    text = _text(path)
    referenced: set[str] = set()
    for line in text.splitlines():
        if "!ref" in line or "!copy" in line or "!applyref" in line:
            referenced.update(_REFERENCE.findall(line))
    problems = []
    for key in tree:
        # what a training wrote into its folder has no references left
        unused = not str(key).startswith("__") and not text.startswith(WRITTEN)
        if unused and key not in known and key not in referenced:
            close = " or ".join(nearest(key, known)) or "nothing like it"
            problems.append(
                f"key {key!r} is used nowhere (nearest: {close}): remove it; "
                "where a Brain of yours reads it, say so in the class: "
                f'keys = EnhancementBrain.keys | {{"{key}": None}}'
            )
    for key in sorted(referenced - set(tree)):
        close = " or ".join(nearest(key, tree)) or "nothing like it"
        problems.append(f"!ref <{key}>: no such key (nearest: {close})")
    for key, value in tree.items():
        if _tag(value) == "!PLACEHOLDER" and overrides.get(key) is None:
            problems.append(f"key {key!r} must be given: --{key} VALUE")
    _override(tree, overrides)
    for place, node in _walk(tree):
        kind, _, dotted = _tag(node).partition(":")
        if kind in ("!new", "!name", "!apply") and dotted:
            problem = _check_callable(dotted, node)
            if problem:
                problems.append(f"{place}: {problem}")
    if problems:
        raise UserError.collect(f"{path} cannot be used", problems)


def _check_callable(dotted: str, node) -> str | None:
    """Return why what a tag names does not exist or take its arguments."""
    try:
        target = pydoc.locate(dotted)
    except pydoc.ErrorDuringImport as error:
        return f"{dotted} cannot be imported: {error.value!r}"
    module, _, name = dotted.rpartition(".")
    if target is None:
        owner = pydoc.locate(module) if module else None
        close = " or ".join(nearest(name, dir(owner))) if owner else ""
        hint = f"did you mean {close}?" if close else f"check {module or name}"
        return f"{dotted} does not exist: {hint}"
    if not isinstance(node, CommentedMap) or not callable(target):
        return None
    try:
        parameters = inspect.signature(target).parameters
    except ValueError:  # some builtins have no signature
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    for key in node:
        if key not in parameters:
            close = " or ".join(nearest(key, parameters))
            hint = f"did you mean {close}?" if close else ""
            takes = ", ".join(parameters)
            return f"{name} takes no {key!r}: {hint} (it takes: {takes})"
    return None
