import math

from edgebrain.report.scores import ClipScores, example_clips, least_gains
from edgebrain.training.reporting import epoch_line


def rows(gains):
    noisy = [ClipScores(f"c{i}", {"stoi": 0.5}) for i in range(len(gains))]
    enhanced = [
        ClipScores(f"c{i}", {"stoi": 0.5 + gain})
        for i, gain in enumerate(gains)
    ]
    return {"noisy": noisy, "enhanced": enhanced}


def examples(gains, metric="stoi", higher=True):
    return example_clips(least_gains(rows(gains), metric, higher))


def test_examples_are_best_median_and_worst():
    assert examples([0.1, -0.2, 0.3, 0.0, 0.05]) == {
        "best": "c2",
        "median": "c4",
        "worst": "c1",
    }


def test_examples_of_few_clips_and_of_failures():
    assert examples([0.1]) == {"best": "c0"}
    assert examples([math.nan, 0.1]) == {"best": "c1"}
    assert examples([math.nan]) == {}


def test_lower_is_better_turns_the_order():
    scores = rows([0.1, -0.2, 0.3])
    for part in scores.values():
        for clip in part:
            clip.values["mse"] = clip.values.pop("stoi")
    assert example_clips(least_gains(scores, "mse", False))["best"] == "c1"


def test_epoch_line_shows_the_selecting_metric_beside_the_baseline():
    row = {"epoch": 2, "train_loss": 0.5, "valid_loss": 0.4}
    row |= {"noisy_pesq": 1.2, "valid_pesq": 1.5}
    row |= {"noisy_stoi": 0.7, "valid_stoi": 0.8}
    line = epoch_line(row, "stoi", "noisy", 10, True)
    assert line.split("  ") == [
        *("epoch  2/10".split("  ")),
        *("loss 0.5 train 0.4 valid", "stoi 0.8 (noisy 0.7)", "* best"),
    ]
    assert "*" not in epoch_line(row, "loss", "noisy", 10, False)
