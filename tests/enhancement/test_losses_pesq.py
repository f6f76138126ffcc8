"""The perceptual loss against the reference implementation of P.862."""

from edgebrain.data.embedded import speech
from edgebrain.enhancement.losses import EnhancementLoss
from edgebrain.enhancement.losses_pesq import (
    disturbance,
    pesq_loss,
)
from edgebrain.enhancement.mixing import scale_to_snr
from edgebrain.errors import UserError
from edgebrain.signal import SignalSettings
import numpy as np
from pesq import pesq
import pytest
import torch

RATE = 16000
TEXT = "The quiet farmer carried seven baskets to the old stone bridge."


@pytest.fixture(scope="module")
def pairs():
    """Return spoken sentences, each with coloured noise at several SNRs."""
    rng = np.random.default_rng(0)
    found = []
    for voice in list(speech.VOICES["train"])[::7][:3]:
        [(clean, _)] = speech.speak(voice, [TEXT], RATE, rng)
        clean = clean.astype(np.float32)
        white = rng.standard_normal(len(clean)).astype(np.float32)
        for noise in (white, np.cumsum(white) - np.cumsum(white).mean()):
            for snr_db in (0, 10, 20, 30):
                scaled = scale_to_snr(clean, noise, snr_db, RATE)
                found.append((clean + scaled, clean))
    return found


def score(estimate, clean):
    """Return the MOS-LQO of one pair of arrays."""
    tensors = (torch.from_numpy(wav)[None] for wav in (estimate, clean))
    return scores(*tensors, torch.tensor([len(clean)])).item()


def scores(estimate, clean, lengths):
    """Return MOS-LQO of P.862.2, (batch,)."""
    symmetric, asymmetric, _ = disturbance(estimate, clean, lengths)
    raw = 4.5 - 0.1 * symmetric - 0.0309 * asymmetric
    return 0.999 + 4 / (1 + torch.exp(-1.3669 * raw + 3.8224))


def test_score_follows_the_reference_implementation(pairs):
    ours = [score(noisy, clean) for noisy, clean in pairs]
    theirs = [pesq(RATE, clean, noisy, "wb") for noisy, clean in pairs]
    assert np.ptp(theirs) > 2
    assert np.corrcoef(ours, theirs)[0, 1] > 0.99
    assert np.abs(np.subtract(ours, theirs)).max() < 0.3


def test_score_of_the_clean_signal_and_of_another_level(pairs):
    noisy, clean = pairs[0]
    assert score(clean, clean) == pytest.approx(4.64, abs=0.01)
    assert score(noisy, clean) == pytest.approx(
        score(0.05 * noisy, 0.05 * clean), abs=1e-3
    )


def test_padding_does_not_count(pairs):
    (noisy, clean), (other, other_clean) = pairs[1], pairs[9]
    lengths = torch.tensor([len(clean), len(other)])
    total = int(lengths.max()) + 3000
    batch = [
        torch.stack(
            [
                torch.from_numpy(np.pad(wav, (0, total - len(wav))))
                for wav in wavs
            ]
        )
        for wavs in ((noisy, other), (clean, other_clean))
    ]
    together = scores(*batch, lengths)
    assert together[0].item() == pytest.approx(score(noisy, clean), abs=1e-4)
    assert together[1].item() == pytest.approx(
        score(other, other_clean), abs=1e-4
    )


def test_gradient_leads_from_noise_to_speech(pairs):
    noisy, clean = (torch.from_numpy(wav)[None] for wav in pairs[0])
    share = torch.ones(1, dtype=torch.float32, requires_grad=True)
    lengths = torch.tensor([clean.shape[-1]])
    loss = pesq_loss(clean + share * (noisy - clean), clean, lengths)
    loss.backward()
    step = 1e-2
    lower = pesq_loss(
        clean + (1 - step) * (noisy - clean), clean, lengths
    ).item()
    assert share.grad.item() == pytest.approx(
        (loss.item() - lower) / step, rel=0.1
    )
    assert share.grad.item() > 0


@pytest.mark.parametrize("silent", ["estimate", "clean", "both"])
def test_silence_and_short_items_are_finite(silent):
    wavs = torch.randn(2, 3, 9000) * 0.1
    for index in {"estimate": [0], "clean": [1]}.get(silent, [0, 1]):
        wavs[index] = 0
    estimate = wavs[0].clone().requires_grad_()
    lengths = torch.tensor([9000, 5000, 100])
    value = pesq_loss(estimate, wavs[1], lengths)
    value.backward()
    assert value.isfinite() and estimate.grad.isfinite().all()
    _, _, scored = disturbance(wavs[0], wavs[1], lengths)
    assert scored.tolist() == [silent == "estimate", False, False]


def test_term_of_the_loss(pairs):
    noisy, clean = (torch.from_numpy(wav)[None] for wav in pairs[0])
    lengths = torch.tensor([clean.shape[-1]])
    loss = EnhancementLoss({"pesq": 2.0}, SignalSettings())
    value, parts = loss(None, None, noisy, clean, lengths)
    expected = pesq_loss(noisy, clean, lengths).item()
    assert parts["pesq"].item() == pytest.approx(expected)
    assert value.item() == pytest.approx(2 * expected)
    with pytest.raises(UserError, match="not at 8000 Hz"):
        EnhancementLoss("pesq", SignalSettings(sample_rate=8000))
