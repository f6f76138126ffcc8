"""Yamls, tables, READMEs and code say the same."""

import csv
import dataclasses
import importlib.util
import inspect
from pathlib import Path
import re
import shlex

from edgebrain.data.manifest import prepare_sets
from edgebrain.enhancement.brain import EnhancementBrain
from edgebrain.models import complexity
from edgebrain.training.config import load_hparams, parse_arguments
import pytest
from speechbrain.utils.run_opts import RunOptions

REPOSITORY = Path(__file__).parents[2]
RECIPES = REPOSITORY / "recipes"
MADE = {"results", "cache", ".venv"}
YAMLS = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for path in [
        *REPOSITORY.glob("[!.]*.yaml"),
        *REPOSITORY.glob("models/*/*.yaml"),
        *RECIPES.rglob("*.yaml"),
    ]
    if not MADE & set(path.parts) and path.name != "chain.yaml"
)
#: Those of the other task have tests of their own.
ENHANCING = [
    yaml
    for yaml in YAMLS
    if "edgebrain.events" not in (REPOSITORY / yaml).read_text("utf-8")
]
READMES = sorted(RECIPES.glob("*/enhancement/README.md"))
KEYS = EnhancementBrain.keys
SCRIPTS = sorted(RECIPES.glob("*/enhancement/train.py"))
#: Lines of the cost table that the head of a yaml repeats.
STATED = ("model", "parameters", "MACs a frame", "MACs a second", "latency")


def load(path):
    name = "_".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    spec = importlib.util.spec_from_file_location(f"checked_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keys_of(yaml):
    """Return the top-level keys that the script beside a yaml reads."""
    beside = (REPOSITORY / yaml).parent / "train.py"
    script = load(beside if beside.is_file() else REPOSITORY / "train.py")
    return KEYS | getattr(script, "DATA_KEYS", {})


@pytest.fixture(scope="module", params=ENHANCING)
def built(request):
    """Return a yaml's path and what it builds; unused keys are refused."""
    path = REPOSITORY / request.param
    hparams = load_hparams(
        str(path), {"data_folder": "none"}, keys_of(request.param)
    )
    return path, hparams


def test_every_yaml_is_in_a_table():
    listed = [
        row["yaml"]
        for table in Path(__file__).parent.glob("*.csv")
        for row in csv.DictReader(table.open(encoding="utf-8"))
    ]
    assert sorted(set(listed)) == YAMLS
    for yaml in listed:
        assert (REPOSITORY / yaml).is_file()


def test_head_of_a_recipe_yaml_states_its_cost(built):
    path, hparams = built
    if not path.is_relative_to(RECIPES):
        pytest.skip("not of a recipe")
    table = complexity.describe(hparams["model"], hparams["signal"]).table()
    lines = dict(
        re.split("  +", line, maxsplit=1) for line in table.split("\n")
    )
    head = path.read_text(encoding="utf-8").partition("\nseed:")[0]
    for key in STATED:
        stated = re.search(rf"^# {key}  +(.*)$", head, re.MULTILINE)
        assert stated and stated[1] == lines[key], key
    readme = (path.parent / "README.md").read_text(encoding="utf-8")
    row = next(
        line
        for line in readme.splitlines()
        if line.startswith(f"| {path.name} ")
    )
    cells = [cell.strip() for cell in row.split("|")]
    assert lines["parameters"] in cells and lines["MACs a second"] in cells
    assert lines["latency"].partition(" (")[0] in cells


def test_head_of_a_recipe_yaml_names_its_command(built):
    path, _ = built
    head = path.read_text(encoding="utf-8").partition("\nseed:")[0]
    beside = (path.parent / "train.py").is_file()
    name = path.name if beside else path.relative_to(REPOSITORY).as_posix()
    assert f"python train.py {name} " in head


def test_results_of_two_yamls_do_not_meet():
    for folder in {(REPOSITORY / yaml).parent for yaml in YAMLS}:
        names = [
            re.search(r"^experiment: (\S+)", p.read_text(), re.MULTILINE)[1]
            for p in folder.glob("[!.]*.yaml")
            if p.name != "chain.yaml"
        ]
        assert len(names) == len(set(names)), folder


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.parts[-3])
def test_data_keys_are_arguments_and_in_every_yaml(script):
    module = load(script)
    prepare = next(
        value
        for name, value in vars(module).items()
        if name.startswith("prepare_") and callable(value)
    )
    own = inspect.signature(prepare).parameters
    handed_on = inspect.signature(prepare_sets).parameters
    assert module.DATA_KEYS.keys() <= own.keys() | {
        name for name, p in handed_on.items() if p.kind is p.KEYWORD_ONLY
    }
    for path in script.parent.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        for key in module.DATA_KEYS:
            assert re.search(rf"^{key}:", text, re.MULTILINE), (path, key)


def test_keys_that_recipes_share_are_read():
    readers = [REPOSITORY / "train.py"]
    for room in ("training", "enhancement"):
        readers += (REPOSITORY / "edgebrain" / room).glob("*.py")
    code = "".join(path.read_text(encoding="utf-8") for path in readers)
    code = re.sub(r"KEYS = \{.*?^\}", "", code, flags=re.DOTALL | re.MULTILINE)
    run_options = {field.name for field in dataclasses.fields(RunOptions)}
    for key in KEYS.keys() - run_options:
        assert re.search(rf"\b{key}\b", code), key


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.parts[-3])
def test_scripts_are_short(script):
    assert len(script.read_text().splitlines()) < 100


def commands(readme):
    """Return the commands of the bash blocks of a README."""
    text = readme.read_text(encoding="utf-8").replace("\\\n", " ")
    return [
        shlex.split(line)
        for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
        if line and not line.startswith("#")
    ]


@pytest.mark.parametrize("readme", READMES, ids=lambda p: p.parts[-3])
def test_commands_of_a_readme_are_understood(readme, monkeypatch):
    monkeypatch.chdir(readme.parent)
    trained = set()
    for command in commands(readme):
        if command[0] == "cd":
            assert (REPOSITORY / command[1]).samefile(readme.parent)
            continue
        assert command[0] in ("python", "torchrun"), command
        assert "train.py" in command, command
        argv = command[command.index("train.py") + 1 :]
        yaml, _, overrides = parse_arguments(argv)
        location = (readme.parent / yaml).relative_to(REPOSITORY).as_posix()
        load_hparams(yaml, overrides, keys_of(location))
        trained.add(yaml)
        for word in argv:
            if word in ("--experiment", "--output_folder"):
                break
        else:
            # Same results folder as the plain command: no other setting.
            runtime = {"--test_only", "--skip_prep", "--data_folder"}
            runtime |= {"--mirrors", "--check_archives", "--precision"}
            runtime |= {"--download", "--rir_folder", "--noise_folder"}
            assert {w for w in argv if w.startswith("--")} <= runtime, command
    assert "train.yaml" in trained


@pytest.mark.parametrize("readme", READMES, ids=lambda p: p.parts[-3])
def test_readme_names_every_yaml_and_has_its_sections(readme):
    text = readme.read_text(encoding="utf-8")
    for path in readme.parent.glob("*.yaml"):
        assert f"| {path.name} |" in text
    for section in ("Data", "Run", "Time", "Results", "Citation"):
        assert f"\n## {section}\n" in text
