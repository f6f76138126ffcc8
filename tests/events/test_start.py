"""What a training starts from."""

from edgebrain.events.start import discriminant
import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis


def drawn(count, classes, size=6):
    """Return points (n, size) of classes that overlap, and their numbers."""
    rng = np.random.default_rng(1)
    label = rng.integers(classes, size=count)
    mixing = rng.normal(size=(size, size))
    means = 1.5 * rng.normal(size=(classes, size))
    return means[label] + rng.normal(size=(count, size)) @ mixing, label


def test_discriminants_are_those_of_scikit_learn():
    x, label = drawn(400, 3)
    weight, bias, odds = discriminant(x, np.eye(3)[label], 0.0)
    logits = x @ weight.T + bias + np.log(odds)
    ours = np.exp(logits - np.logaddexp.reduce(logits, 1)[:, None])
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(x, label)
    np.testing.assert_allclose(ours, theirs.predict_proba(x), atol=1e-9)
    assert np.ptp(ours) > 0.9


def test_each_of_several_labels_is_told_from_the_rest():
    x, label = drawn(400, 2)
    y = np.eye(2)[label]
    weight, bias, odds = discriminant(x, y, 0.0, multi_label=True)
    logits = x @ weight.T + bias + np.log(odds)
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(x, label)
    chances = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(chances, theirs.predict_proba(x), atol=1e-9)


@pytest.mark.parametrize("dead", [0, 2])
def test_shrinkage_bears_more_channels_than_points(dead):
    rng = np.random.default_rng(2)
    label = np.arange(20) % 2
    x = rng.normal(size=(20, 60))
    x[:, 0] += 4 * label
    x[:, 40 : 40 + dead] = 0
    weight, _, _ = discriminant(x, np.eye(2)[label], 0.5)
    steps = np.abs(weight[1] - weight[0])
    assert np.isfinite(weight).all() and steps.argmax() == 0
