"""Learning curves and spectrograms: drawn from real and from odd input."""

import math
import os
import subprocess
import sys

from edgebrain.enhancement.task import TASK
from edgebrain.report import plots
from edgebrain.signal import SignalSettings
import numpy as np
import pytest

SETTINGS = SignalSettings()


def image(path):
    from matplotlib.image import imread

    return imread(path)


def row(epoch, **more):
    return {
        "epoch": epoch,
        "train_loss": 1 / epoch,
        "valid_loss": 1.1 / epoch,
        "valid_stoi": 0.9 - 0.1 / epoch,
        "noisy_stoi": 0.85,
        "lr": 1e-3,
        **more,
    }


@pytest.fixture
def figures(monkeypatch):
    """Collect the figures that are saved, to look into them."""
    saved, save = [], plots._save
    monkeypatch.setattr(
        plots, "_save", lambda f, p: (saved.append(f), save(f, p))
    )
    return saved


def labels(axis):
    legend = axis.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def test_learning_curves(tmp_path, figures):
    path = tmp_path / "new" / "curves.png"
    plots.plot_learning_curves([row(e) for e in range(1, 31)], path, TASK)
    assert image(path).std() > 0.05
    assert os.listdir(path.parent) == ["curves.png"]
    loss, stoi, rate = figures[0].axes
    assert labels(loss)[:2] == ["train", "valid"]
    assert labels(stoi) == ["noisy", "valid", "best 0.8967 (epoch 30)"]
    assert stoi.lines[0].get_linestyle() == "--"
    assert loss.get_yscale() == "log" and stoi.get_yscale() == "linear"
    assert rate.get_xlabel() == "epoch"


def test_decibels_stay_linear_and_the_selected_epoch_is_marked(
    tmp_path, figures
):
    history = [row(e, valid_si_snr=10.0**-e) for e in range(1, 5)]
    path = tmp_path / "curves.png"
    plots.plot_learning_curves(history, path, TASK, selected=2)
    for axis in figures[0].axes:
        assert any(list(line.get_xdata()) == [2, 2] for line in axis.lines)
        if axis.get_title().startswith("SI-SNR"):
            assert axis.get_yscale() == "linear"
        # No legend lies on a curve.
        if axis.get_legend():
            figures[0].canvas.draw()
            box = axis.get_legend().get_window_extent()
            assert not box.overlaps(axis.get_window_extent())


def test_long_clips_show_their_loudest_part(tmp_path, figures):
    settings = SignalSettings()
    wav = np.zeros(40 * 16000, np.float32)
    wav[25 * 16000 : 30 * 16000] = 0.3
    plots.plot_spectrograms(wav, wav, wav, settings, tmp_path / "s.png", "")
    low, high = figures[0].axes[0].get_xlim()
    assert high - low == 10 and low <= 25 and high >= 30


def test_every_metric_has_a_panel(tmp_path, figures):
    more = {f"valid_{name}": 0.5 for name in TASK.metrics}
    plots.plot_learning_curves([row(1, **more)], tmp_path / "a.png", TASK)
    assert len(figures[0].axes) == len(TASK.metrics) + 2


@pytest.mark.parametrize(
    "history",
    [
        [row(1)],
        [row(1), row(2, valid_stoi=math.nan, valid_loss=math.inf)],
        [row(1, valid_stoi=None), row(2, lr=0)],
        [row(1), {"epoch": 2}],
        [row(1, train_loss=-3.0), row(2, valid_loss=-9)],
        [{"epoch": 1, "train_loss": 1.0}],
    ],
)
def test_gaps_single_epochs_and_negative_losses(tmp_path, history):
    path = tmp_path / "curves.png"
    plots.plot_learning_curves(history, path, TASK)
    assert image(path).std() > 0.01


def test_nan_is_never_marked_as_best(tmp_path, figures):
    values = (0.5, math.nan, 0.7, 0.6)
    history = [row(e, valid_stoi=v) for e, v in enumerate(values, 1)]
    plots.plot_learning_curves(history, tmp_path / "curves.png", TASK)
    assert labels(figures[0].axes[1])[-1] == "best 0.7 (epoch 3)"


def tone(frequency, gain, seconds=1.0):
    time = np.arange(int(seconds * 16000)) / 16000
    return (gain * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def test_spectrograms_share_scale_and_axes(tmp_path, figures):
    path = tmp_path / "a.png"
    waves = tone(1000, 0.5), tone(1000, 0.005), tone(3000, 0.5)
    plots.plot_spectrograms(*waves, SETTINGS, path, "clip")
    assert image(path).std() > 0.05
    axes = figures[0].axes[:3]
    assert [a.get_title() for a in axes] == ["noisy", "enhanced", "clean"]
    assert {a.get_xlabel() for a in axes} == {"time [s]"}
    assert axes[0].get_ylabel() == "frequency [Hz]"
    assert {a.get_ylim() for a in axes} == {(0, 8000)}
    assert {a.get_xlim() for a in axes} == {(0, 1)}
    pictures = [a.images[0] for a in axes]
    assert {p.get_clim() for p in pictures} == {(-plots.RANGE_DB, 0)}
    # 40 dB softer, and at the bin of its frequency.
    levels = [p.get_array()[:, 50] for p in pictures]
    assert levels[0].max() - levels[1].max() == pytest.approx(40, abs=0.1)
    bins = [round(f / 16000 * SETTINGS.n_fft) for f in (1000, 1000, 3000)]
    assert [int(np.argmax(level)) for level in levels] == bins


def test_spectrograms_of_silence(tmp_path, figures):
    silence = np.zeros(4000, dtype=np.float32)
    waves = (silence, silence, silence)
    plots.plot_spectrograms(*waves, SETTINGS, tmp_path / "a.png", "clip")
    assert len(figures[0].axes) == 4


def test_backend_of_the_caller_is_left_alone():
    code = (
        "import sys, edgebrain.report.plots as p; "
        "from edgebrain.enhancement.task import TASK as t; "
        "assert 'matplotlib' not in sys.modules; import os, tempfile; "
        "d = tempfile.mkdtemp(); "
        "p.plot_learning_curves([{'epoch': 1, 'lr': 1}], d + '/a.png', t); "
        "print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.strip() == "False False"
