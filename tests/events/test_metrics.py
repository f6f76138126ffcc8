"""Scores, by hand where they are few."""

from edgebrain.events.listing import OTHER
from edgebrain.events.metrics import (
    Predictions,
    chance,
    confusion,
    per_class,
    score,
    wilson,
)
from edgebrain.events.results import read_predictions, write_results
from edgebrain.events.scoring import Scorer
import numpy as np
import pytest


def predictions(scores, labels, several=False):
    scores = np.array(scores, float)
    target = np.zeros_like(scores, dtype=np.float32)
    for row, label in zip(target, labels, strict=True):
        row[list(label) if several else label] = 1.0
    count = len(scores)
    return Predictions(
        [f"c{i}" for i in range(count)],
        scores,
        target,
        np.full(count, 3),
        np.full(count, 4),
        np.full(count, 2),
    )


ONE = predictions(
    [[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]],
    [0, 1, 1, 1],
)


def test_single_label():
    got = score(ONE, False)
    assert got["clip_accuracy"] == 75 and got["patch_accuracy"] == 75
    assert got["top3"] == 100
    wanted = -np.log([0.7, 0.5, 0.3, 0.8]).mean()
    assert got["nll"] == pytest.approx(wanted)
    assert chance(ONE, False)["clip_accuracy"] == 75
    # A class that nobody predicts or has stays in the square.
    assert confusion(ONE).tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    rows = {r["class"]: r for r in per_class(ONE, "abc", False)}
    assert rows["b"]["precision"] == 100 and rows["c"]["clips"] == 0
    assert rows["b"]["recall"] == pytest.approx(200 / 3)


def test_unknown_sounds_are_scored_apart():
    # Two patches a clip: a clip of "a", one of "b", one of neither.
    each = [[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8], [0.7, 0.3]]
    each = np.array([*each, [0.45, 0.55]])
    target = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    given = ("klm", np.arange(6) // 2, each, target, "ab")
    found = Predictions.of_patches(*given, threshold=0.65)
    assert found.patch_hits.tolist() == [1, 2, 0]
    assert found.reported.tolist() == [1, 2, 1]
    got = score(found, False)
    assert got["hits"] == 75 and got["false_alarms"] == 50
    assert got["clip_accuracy"] == 100 and got["patch_accuracy"] == 75
    blind = chance(found, False)
    assert blind["false_alarms"] == 100 and blind["hits"] == 50
    # What is called other is no alarm.
    other = Predictions.of_patches(*given[:4], ["a", OTHER])
    assert score(other, False)["false_alarms"] == 50
    # Garbage that is told as such is told right, whatever the threshold.
    assert other.reported.tolist() == [1, 2, 1]
    assert "hits" not in score(found.known(), False)


@pytest.mark.parametrize(
    "rate, wanted", [(0, 0.800001), (0.5, 0.600001), (1, 0)]
)
def test_a_threshold_keeps_to_its_rate(rate, wanted):
    scorer = Scorer(["a", "b"], False)
    each = np.array([[0.99, 0.01], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])
    target = np.array([[1, 0], [0, 0]], np.float32)
    each = np.concatenate([each, [[0.3, 0.7]]])
    scorer.add("kl", np.array([0, 1, 1, 1, 1]), each, target)
    chosen = scorer.choose_threshold(rate)
    assert chosen == pytest.approx(wanted, abs=1e-7)
    # Of the clip that has a class nothing counts.
    assert np.mean(each[1:].max(1) >= chosen) <= rate


def test_several_labels():
    got = score(
        predictions(
            [[0.9, 0.8, 0.1], [0.2, 0.9, 0.6]], [(0, 1), (2,)], several=True
        ),
        True,
    )
    # Ranked 1, 2 of 2 labels (precision 1, 1); then its label second (1/2).
    assert got["lwlrap"] == pytest.approx(100 * (1 + 1 + 0.5) / 3)
    # Average precision: a 1; b, whose only clip is second, 1/2; c 1.
    assert got["map"] == pytest.approx(100 * (1 + 0.5 + 1) / 3)


def test_interval_is_wilsons():
    low, high = wilson(392, 400)
    assert (round(low, 4), round(high, 4)) == (0.9610, 0.9898)
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == pytest.approx(1)


def test_results_come_back(tmp_path):
    table = write_results(tmp_path, ONE, ["a", "b", "c"], False, {"x": 1})
    assert "30.1 to 95.4" in table and table.startswith("  ")
    got, names, several = read_predictions(tmp_path)
    assert names == ["a", "b", "c"] and not several
    assert np.allclose(got.scores, ONE.scores)
    assert np.array_equal(got.target, ONE.target)
    both = Predictions.join([got, ONE])
    assert score(both, False)["clip_accuracy"] == 75
    assert (tmp_path / "confusion.png").stat().st_size > 1000
    head = (tmp_path / "confusion.csv").read_text().splitlines()[0]
    assert head.endswith("a,b,c")
