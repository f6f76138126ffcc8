from edgebrain.errors import UserError
from edgebrain.training.config import (
    changed_keys,
    flatten,
    load_hparams,
    parse_arguments,
)
import pytest

YAML = """
seed: 1
folder: null
rate: 0.1
where: !ref results/<seed>
opt: !name:torch.optim.Adam
    lr: !ref <rate>
layer: !new:torch.nn.Linear
    in_features: 3
    out_features: 2
"""
KNOWN = dict.fromkeys(["seed", "folder", "where", "opt", "layer"])


@pytest.fixture
def yaml_file(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(YAML)
    return str(path)


def test_overrides_keep_types_and_equal_signs(yaml_file):
    _, options, overrides = parse_arguments(
        [yaml_file, "--rate=1e-3", "--folder", "a=b/c", "--seed", "7"]
    )
    assert overrides == {"rate": 0.001, "folder": "a=b/c", "seed": 7}
    assert options.overridden_args == set()


def test_a_known_key_may_be_given_that_the_yaml_lists_not(yaml_file):
    words = [yaml_file, "--skip_bad", "True"]
    with pytest.raises(UserError, match="unknown key 'skip_bad'"):
        parse_arguments(words)
    _, _, overrides = parse_arguments(words, {"skip_bad"})
    assert overrides == {"skip_bad": True}
    # A run option stays one.
    _, options, overrides = parse_arguments([yaml_file, "--debug"], {"debug"})
    assert options.debug is True and not overrides


def test_run_options_are_typed(yaml_file):
    words = "--debug --test_only False --optimizer_step_limit 5 --device cpu"
    _, options, _ = parse_arguments([yaml_file, *words.split()])
    assert options.debug is True
    assert options.test_only is False
    assert options.optimizer_step_limit == 5
    assert options.overridden_args == {
        "debug",
        "test_only",
        "optimizer_step_limit",
        "device",
    }


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--sed", "1"], "did you mean seed"),
        (["--rate"], "--rate needs a value"),
        (["1"], "expected --key value"),
        (["--precision", "fp17"], "fp16"),
        (["--test_only", "perhaps"], "True or False"),
        (["--grad_accumulation_factor", "x"], "a whole number"),
    ],
)
def test_bad_words_are_refused(yaml_file, words, expected):
    with pytest.raises(UserError, match=expected):
        parse_arguments([yaml_file, *words])


def test_no_yaml_file():
    with pytest.raises(UserError, match="first argument"):
        parse_arguments(["--seed", "1"])
    with pytest.raises(UserError, match="no such yaml"):
        parse_arguments(["nowhere.yaml"])


def test_load_builds_what_is_described(yaml_file):
    hparams = load_hparams(yaml_file, {"seed": 3}, KNOWN)
    assert hparams["where"] == "results/3"
    assert hparams["layer"].in_features == 3


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ("seed: 1", "seed: 1\nsede: 2", "'sede' is used nowhere"),
        ("optim.Adam", "optim.Adamm", "did you mean Adam"),
        ("in_features: 3", "in_feature: 3", "did you mean in_features"),
        ("<seed>", "<sed>", "no such key"),
        ("folder: null", "folder: !PLACEHOLDER", "--folder VALUE"),
        ("torch.nn.Linear", "torch.nm.Linear", "does not exist"),
    ],
)
def test_mistakes_in_the_yaml_are_named(yaml_file, old, new, expected):
    with open(yaml_file, "w") as stream:
        stream.write(YAML.replace(old, new))
    with pytest.raises(UserError, match=expected):
        load_hparams(yaml_file, {}, KNOWN)


def test_all_mistakes_at_once(yaml_file):
    text = YAML.replace("Adam", "Adamm").replace("in_features", "in_feature")
    with open(yaml_file, "w") as stream:
        stream.write(text + "extra: 1\n")
    with pytest.raises(UserError, match="3 problems"):
        load_hparams(yaml_file, {}, KNOWN)


def test_constructor_error_reaches_the_user(yaml_file):
    with open(yaml_file, "a") as stream:
        stream.write("bad: !new:edgebrain.signal.SignalSettings\n")
        stream.write("    hop_length: -1\n")
    with pytest.raises(UserError, match="hop_length"):
        load_hparams(yaml_file, {}, KNOWN | {"bad": None})


def test_changed_keys_see_values_not_comments(yaml_file, tmp_path):
    other = tmp_path / "b.yaml"
    other.write_text("# a comment\n" + YAML)
    old = flatten(yaml_file)
    assert changed_keys(old, flatten(str(other))) == []
    new = flatten(str(other), {"rate": 0.2})
    assert changed_keys(old, new) == ["opt.lr: 0.1 -> 0.2", "rate: 0.1 -> 0.2"]
    assert changed_keys(old, new, ignore=["opt", "rate"]) == []
