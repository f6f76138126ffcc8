"""The one validator of values."""

import argparse
import math

from edgebrain.checks import Name, Number, Unfit, check, switch
from edgebrain.errors import UserError
import pytest


@pytest.mark.parametrize(
    "rule, value, wanted",
    [
        (Number(whole=True, least=1), "3", 3),
        (Number(whole=True), 4.0, 4),
        (Number(least=0), 0, 0.0),
        (Number(above=0, most=1), "1", 1.0),
        (Number(optional=True), None, None),
        (switch, "No", False),
        (switch, True, True),
        (Name("form", ["patch"]), "patch", "patch"),
        (Name("form", ["patch"], optional=True), None, None),
    ],
)
def test_what_fits_is_returned_in_its_type(rule, value, wanted):
    got = rule(value)
    assert got == wanted and type(got) is type(wanted)


@pytest.mark.parametrize(
    "rule, value, said",
    [
        (Number(whole=True, least=1), "0", "a whole number from 1, not '0'"),
        (Number(whole=True), "2.5", "a whole number, not '2.5'"),
        (Number(whole=True), math.inf, "a whole number, not inf"),
        (Number(), "abc", "a number, not 'abc'"),
        (Number(), "nan", "a number, not 'nan'"),
        (Number(), None, "a number, not None"),
        (Number(), True, "a number, not True"),
        (Number(), [1], "a number, not [1]"),
        (Number(above=0, most=1), 0, "a number above 0 to 1, not 0"),
        (switch, "maybe", "True or False, not 'maybe'"),
        (switch, 1, "True or False, not 1"),
        (Name("form", ["patch"]), "pach", "did you mean patch"),
        (Name("form", ["patch"]), None, "unknown form None"),
        (Name("form", ["patch"]), ["patch"], "unknown form"),
    ],
)
def test_what_does_not_is_refused(rule, value, said):
    with pytest.raises(Unfit) as caught:
        rule(value)
    assert said in str(caught.value)


def test_argparse_shows_the_message(capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=Number(whole=True, least=1))
    with pytest.raises(SystemExit):
        parser.parse_args(["--jobs", "-3"])
    said = capsys.readouterr().err
    parser.add_argument("--form", type=Name("form", ["patch"]))
    assert parser.parse_args(["--form", "patch"]).form == "patch"
    assert "argument --jobs: a whole number from 1, not '-3'" in said


def test_a_table_lists_every_fault_with_its_key():
    rules = {"lr": Number(above=0), "epochs": Number(whole=True, least=1)}
    values = {"lr": "fast", "epochs": 0, "seed": 3}
    with pytest.raises(UserError) as caught:
        check("train.yaml", values, rules)
    assert str(caught.value) == (
        "train.yaml (2 problems):\n"
        "  - epochs: a whole number from 1, not 0\n"
        "  - lr: a number above 0, not 'fast'"
    )
    values = {"lr": "0.1", "seed": 3}
    assert check("train.yaml", values, rules) == {"lr": 0.1, "seed": 3}
