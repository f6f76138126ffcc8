"""The folder for SpeechBrain says what the training did."""

from pathlib import Path
import sys

from edgebrain.enhancement import speechbrain_export
from edgebrain.enhancement.networks import STFTTCNN
from edgebrain.enhancement.speechbrain_export import export_speechbrain
from edgebrain.errors import UserError
from edgebrain.signal import SignalSettings, istft, magnitude, stft
from edgebrain.tasks import Setup
from edgebrain.training.results import CheckpointInfo, LoadedModel
import pytest
import torch

SETTINGS = SignalSettings(n_fft=64, win_length=50, hop_length=20)


def loaded(settings=SETTINGS, sha256="a1", **arguments):
    """Return a small network, as load_model returns it."""
    torch.manual_seed(0)
    arguments = {"prologue": "power", **arguments}
    model = STFTTCNN(1, 2, settings.bins, 8, **arguments).eval()
    info = CheckpointInfo(Path("CKPT+1"), {}, None, "some.Network", {})
    return LoadedModel(
        model, settings, sha256, info, Setup("enhancement", settings)
    )


def load(folder):
    """Load an export with SpeechBrain, and leave the path as it was."""
    from speechbrain.inference.interfaces import foreign_class

    enhancer = foreign_class(
        source=str(folder),
        hparams_file="inference.yaml",
        pymodule_file="enhancer.py",
        classname="MaskEnhancement",
    )
    sys.path.remove(str(folder))
    return enhancer


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"window": "hamming", "win_length": 64},
        {"window": "sqrt_hann", "n_fft": 64, "win_length": 64},
        {"power": 2.0},
        {"power": 0.3},
        {"peak_normalize": True},
        {"win_length": 64, "hop_length": 32},
        {"sample_rate": 44100, "win_length": 63, "hop_length": 17},
    ],
    ids=str,
)
def test_every_setting_is_expressed(changes, tmp_path):
    fields = {**SETTINGS.to_dict(), **changes}
    network = loaded(SignalSettings.from_dict(fields))
    assert export_speechbrain(network, tmp_path / "e") < 1e-5
    enhancer = load(tmp_path / "e")
    assert enhancer.hparams.sample_rate == network.settings.sample_rate
    assert enhancer.hparams.win_length == fields["win_length"]


def test_negative_gains_are_expressed(tmp_path):
    """A gain below -1 / |X| is below what log1p can hold."""
    network = loaded(mask_activation="tanh", bottleneck_channels=4)
    export_speechbrain(network, tmp_path / "e")
    noisy = torch.randn(1, 4000, generator=torch.Generator().manual_seed(1))
    spec = stft(noisy, SETTINGS)
    with torch.no_grad():
        mask = network.model(magnitude(spec, SETTINGS))
        got = load(tmp_path / "e").enhance_batch(noisy)
    assert (mask * abs(spec)).min() < -1.5
    wanted = istft(spec * mask, SETTINGS, 4000)
    assert abs(got - wanted).max() < 1e-5


def test_silence_in_a_recording_changes_nothing(tmp_path):
    """A floor on the magnitude would show beside digital silence."""
    network = loaded(causal=False, prologue_exponent=0.05)
    export_speechbrain(network, tmp_path / "e")
    noisy = torch.randn(1, 3000, generator=torch.Generator().manual_seed(1))
    noisy[:, 1000:2000] = 0
    spec = stft(noisy, SETTINGS)
    with torch.no_grad():
        mask = network.model(magnitude(spec, SETTINGS))
        got = load(tmp_path / "e").enhance_batch(noisy, torch.ones(1))
    assert abs(got - istft(spec * mask, SETTINGS, 3000)).max() < 1e-5
    assert got[:, 1100:1900].abs().max() == 0


def test_what_speechbrain_cannot_do_is_refused(tmp_path):
    fields = {**SETTINGS.to_dict(), "center": False}
    network = loaded(SignalSettings.from_dict(fields))
    with pytest.raises(UserError, match="center is False.*ONNX"):
        export_speechbrain(network, tmp_path / "e")
    assert not list(tmp_path.iterdir())


def test_an_export_that_differs_never_appears(tmp_path, monkeypatch):
    export_speechbrain(loaded(), tmp_path / "e")
    before = (tmp_path / "e" / "inference.yaml").read_bytes()
    monkeypatch.setattr(
        speechbrain_export, "magnitude", lambda spec, signal: abs(spec) ** 0.4
    )
    with pytest.raises(UserError, match="(?s)nothing is written.*differs by"):
        export_speechbrain(loaded(), tmp_path / "e")
    assert [path.name for path in tmp_path.iterdir()] == ["e"]
    assert (tmp_path / "e" / "inference.yaml").read_bytes() == before


def test_an_export_is_replaced_and_nothing_else(tmp_path):
    folder = tmp_path / "e"
    export_speechbrain(loaded(), folder)
    export_speechbrain(loaded(sha256="b2"), folder)
    assert '"b2"' in (folder / "inference.yaml").read_text()
    (folder / "thesis.tex").touch()
    export_speechbrain(loaded(), folder)
    assert (folder / "thesis.tex").exists()
    (folder / "README.md").write_text("mine")
    with pytest.raises(UserError, match="edited"):
        export_speechbrain(loaded(), folder)
    with pytest.raises(UserError, match="is a file"):
        export_speechbrain(loaded(), folder / "thesis.tex")


def test_two_exports_are_loaded_at_once(tmp_path):
    """Each finds its own file, though both are called alike."""
    sizes = {}
    for name, channels in (("one", 4), ("two", 5)):
        network = loaded(bottleneck_channels=channels)
        export_speechbrain(network, tmp_path / name)
        sizes[name] = sum(p.numel() for p in network.model.parameters())
        text = (tmp_path / name / "enhancer.py").read_text()
        text += f"\nMaskEnhancement.version = {channels}\n"
        (tmp_path / name / "enhancer.py").write_text(text)
    one, two = load(tmp_path / "one"), load(tmp_path / "two")
    assert (one.version, two.version) == (4, 5)
    for name, enhancer in (("one", one), ("two", two)):
        found = sum(p.numel() for p in enhancer.mods.parameters())
        assert found == sizes[name]
