"""The tasks by name."""

from types import SimpleNamespace

from edgebrain import tasks
from edgebrain.errors import UserError
from edgebrain.signal import SignalSettings, magnitude, peak_gain, stft
import numpy as np
import pytest


@pytest.mark.parametrize("name", tasks.MODULES)
def test_each_task_has_what_the_shared_rooms_ask(name):
    task = tasks.find(name)
    assert task.name == name
    wanted = {n for n in vars(tasks.Task) if not n.startswith("_")}
    wanted |= set(tasks.Task.__annotations__)
    assert wanted <= set(dir(task)), wanted - set(dir(task))
    for key, metric in task.metrics.items():
        assert metric.name == key and metric.label
        assert tasks.higher_is_better(task, key) is metric.higher_is_better
        format(1.0, metric.format)
    assert tasks.higher_is_better(task, "loss") is False
    with pytest.raises(UserError, match="unknown metric"):
        tasks.higher_is_better(task, "beauty")


def test_an_unknown_task_is_refused():
    with pytest.raises(UserError, match="did you mean enhancement"):
        tasks.find("enhancment")


def test_a_further_task_is_found_by_its_name(monkeypatch):
    monkeypatch.setattr(tasks, "_registered", {})
    toy = SimpleNamespace(name="toy")
    tasks.register(toy)
    assert tasks.find("toy") is toy


@pytest.mark.parametrize("peak_normalize", [False, True])
def test_an_enhancement_network_is_given_magnitudes(peak_normalize):
    signal = SignalSettings(peak_normalize=peak_normalize)
    setup = tasks.Setup("enhancement", signal)
    task = tasks.find("enhancement")
    wav = np.random.default_rng(0).normal(0, 0.01, 4000).astype(np.float32)
    got = task.features(wav, setup)
    gain = peak_gain(wav) if peak_normalize else 1
    wanted = magnitude(stft(wav * gain, signal), signal)
    np.testing.assert_array_equal(got, wanted.astype(np.float32))
    interface = task.interface(None, setup)
    assert interface.input == tasks.Port("magnitude", (257, None))
    assert interface.output.per_frame and interface.window is None
