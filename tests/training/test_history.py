import csv
import math

from edgebrain.training.history import History, PatientEpochCounter


def filled(values):
    history = History()
    for epoch, value in enumerate(values, 1):
        history.append({"epoch": epoch, "valid_stoi": value})
    return history


def test_best_epoch_ignores_nan_and_prefers_the_first():
    history = filled([0.5, 0.7, math.nan, 0.7])
    assert history.best_epoch("valid_stoi", True) == 2
    assert history.best_epoch("valid_stoi", False) == 1
    assert filled([math.nan]).best_epoch("valid_stoi", True) is None


def test_rows_survive_bit_for_bit(tmp_path):
    history = filled([0.1 + 0.2, math.nan, 1e-300])
    history.save(tmp_path / "h.ckpt")
    again = History()
    again.load(tmp_path / "h.ckpt")
    for h, name in ((history, "a.csv"), (again, "b.csv")):
        h.write_csv(tmp_path / name)
    text = (tmp_path / "a.csv").read_text()
    assert text == (tmp_path / "b.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert float(rows[0]["valid_stoi"]) == 0.1 + 0.2


def epochs(values, patience, higher=True):
    history = History()
    counter = PatientEpochCounter(
        len(values), history, "valid_stoi", higher, patience
    )
    done = []
    for epoch in counter:
        history.append({"epoch": epoch, "valid_stoi": values[epoch - 1]})
        done.append(epoch)
    return len(done)


def test_stops_on_flat_and_slowly_falling_metrics():
    assert epochs([0.8] * 10, patience=3) == 4
    assert epochs([0.8 - 1e-9 * i for i in range(10)], patience=3) == 4
    assert epochs([0.8 + 1e-9 * i for i in range(10)], patience=3) == 10
    assert epochs([-5.0] * 10, patience=2, higher=False) == 3


def test_no_patience_never_stops():
    assert epochs([0.1] * 6, patience=0) == 6


def test_stops_when_no_epoch_had_a_value():
    assert epochs([math.nan] * 6, patience=2) == 2
