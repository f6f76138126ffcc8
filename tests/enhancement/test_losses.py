"""Values of the losses, padding, silence, gradients and bad arguments."""

import math

from edgebrain.enhancement.losses import TERMS, EnhancementLoss
from edgebrain.errors import UserError
from edgebrain.signal import SignalSettings, stft
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
import pytest
import torch

SETTINGS = SignalSettings(n_fft=32, win_length=24, hop_length=8)
NAMES = sorted(TERMS.keys() - {"pesq"})  # it has a file of its own
EVERY = {name: 1.0 for name in NAMES}
SNRS = ("wave_snr", "wave_sisnr")


def batch(lengths, extra=0, fill=0.0, seed=0, dtype=torch.float64):
    """Random items of the given lengths, then padding holding ``fill``."""
    rng = torch.Generator().manual_seed(seed)
    longest = max(lengths)
    wavs = torch.zeros(2, len(lengths), longest + extra, dtype=dtype)
    total = SETTINGS.num_frames(longest + extra)
    shape = (2, len(lengths), SETTINGS.bins, total)
    specs = torch.zeros(shape, dtype=torch.complex128)
    for index, length in enumerate(lengths):
        wav = torch.randn(2, length, generator=rng, dtype=torch.float64)
        spec = stft(wav, SETTINGS)
        frames = SETTINGS.num_frames(length)
        wavs[:, index, :length] = wav.to(dtype)
        wavs[:, index, length:] = fill
        specs[:, index, :, :frames] = spec[..., :frames]
        specs[:, index, :, frames:] = fill
    if dtype == torch.float32:
        specs = specs.to(torch.complex64)
    lengths = torch.tensor(lengths)
    return specs[0], specs[1], wavs[0], wavs[1], lengths


def evaluate(terms, inputs):
    loss, values = EnhancementLoss(terms, SETTINGS)(*inputs)
    return loss.item(), {name: v.item() for name, v in values.items()}


def reference(name, inputs):
    """Each loss by its definition, item by item on what is valid."""
    est_spec, clean_spec, est_wav, clean_wav, lengths = inputs
    sums, count, per_item = 0.0, 0, []
    for index, length in enumerate(lengths.tolist()):
        frames = SETTINGS.num_frames(length)
        x, y = est_spec[index, :, :frames], clean_spec[index, :, :frames]
        a, b = est_wav[index, :length], clean_wav[index, :length]
        if name == "spec_mse":
            terms = (x.real - y.real) ** 2 + (x.imag - y.imag) ** 2
        elif name == "log1p_mse":
            terms = (x.abs().log1p() - y.abs().log1p()) ** 2
        elif name == "compressed_mag_mse":
            terms = (x.abs() ** 0.3 - y.abs() ** 0.3) ** 2
        elif name == "speech_preservation":
            terms = (y.abs() ** 0.3 - x.abs() ** 0.3).clamp(min=0) ** 2
        elif name == "compressed_complex_mse":
            x = torch.polar(x.abs() ** 0.3, x.angle())
            y = torch.polar(y.abs() ** 0.3, y.angle())
            terms = (x - y).abs() ** 2
        elif name == "wave_mse":
            terms = (a - b) ** 2
        else:
            if name == "wave_sisnr":
                a, b = a - a.mean(), b - b.mean()
                b = (a @ b) / (b @ b) * b
            per_item.append(-10 * math.log10((b @ b) / ((a - b) @ (a - b))))
            continue
        sums, count = sums + terms.sum().item(), count + terms.numel()
    return sum(per_item) / len(per_item) if per_item else sums / count


@pytest.mark.parametrize("name", NAMES)
def test_value_is_the_definition(name):
    inputs = batch([200, 77, 130], extra=40)
    value, _ = evaluate(name, inputs)
    assert value == pytest.approx(reference(name, inputs), rel=1e-6)


@given(
    lengths=st.lists(st.integers(30, 200), min_size=1, max_size=4),
    extra=st.integers(1, 100),
    fill=st.sampled_from([0.0, 5.0, -1e6, math.inf, math.nan]),
)
@hypothesis_settings(max_examples=30, deadline=None)
def test_padding_never_counts(lengths, extra, fill):
    plain = evaluate(EVERY, batch(lengths, dtype=torch.float32))[1]
    padded = batch(lengths, extra, fill, dtype=torch.float32)
    for name, value in evaluate(EVERY, padded)[1].items():
        assert value == pytest.approx(plain[name], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("fill", [0.0, 3.0, math.nan])
def test_gradient_in_the_padding_is_zero(fill):
    inputs = batch([90, 200], extra=30, fill=fill)
    est_spec = inputs[0].requires_grad_()
    est_wav = inputs[2].requires_grad_()
    EnhancementLoss(EVERY, SETTINGS)(*inputs)[0].backward()
    for index, length in enumerate((90, 200)):
        frames = SETTINGS.num_frames(length)
        assert (est_spec.grad[index, :, frames:] == 0).all()
        assert (est_wav.grad[index, length:] == 0).all()
        assert est_spec.grad[index, :, :frames].abs().min() > 0
        assert est_wav.grad[index, :length].abs().min() > 0


@pytest.mark.parametrize("name", NAMES)
def test_gradient_matches_finite_differences(name):
    inputs = batch([40, 33])
    loss = EnhancementLoss(name, SETTINGS)

    def value(spec, wav):
        return loss(spec, inputs[1], wav, inputs[3], inputs[4])[0]

    spec, wav = inputs[0].requires_grad_(), inputs[2].requires_grad_()
    assert torch.autograd.gradcheck(value, (spec, wav), atol=1e-5)


def test_gradient_when_terms_share_the_compression():
    inputs = batch([40, 33])
    terms = ("compressed_mag_mse", "compressed_complex_mse")
    grads = []
    for names in (terms, terms[:1], terms[1:]):
        spec = inputs[0].detach().requires_grad_()
        loss = EnhancementLoss(dict.fromkeys(names, 1.0), SETTINGS)
        loss(spec, *inputs[1:])[0].backward()
        grads.append(spec.grad)
    torch.testing.assert_close(grads[0], grads[1] + grads[2])


@pytest.mark.parametrize("silent", ["estimate", "clean", "both"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_silence_gives_finite_values_and_gradients(name, dtype, silent):
    inputs = list(batch([80, 120], dtype=dtype))
    for index in {"estimate": [0, 2], "clean": [1, 3]}.get(silent, range(4)):
        inputs[index] = torch.zeros_like(inputs[index])
    inputs[0].requires_grad_()
    inputs[2].requires_grad_()
    value, _ = EnhancementLoss(name, SETTINGS)(*inputs)
    value.backward()
    assert value.isfinite()
    for tensor in (inputs[0], inputs[2]):
        assert tensor.grad is None or tensor.grad.abs().isfinite().all()


@pytest.mark.parametrize("name", SNRS)
def test_item_with_silent_clean_is_left_out_of_the_mean(name):
    inputs = batch([80, 80, 80])
    inputs[3][1] = 0
    inputs[2].requires_grad_()
    value, _ = EnhancementLoss(name, SETTINGS)(*inputs)
    value.backward()
    rest = [t[[0, 2]].detach() for t in inputs]
    assert value.item() == pytest.approx(reference(name, rest), abs=1e-3)
    assert (inputs[2].grad[1] == 0).all()


def test_silent_estimate_is_the_worst_si_snr_and_a_perfect_one_bounded():
    inputs = list(batch([200]))
    silent = torch.zeros_like(inputs[2])
    bad = evaluate("wave_sisnr", [*inputs[:2], silent, *inputs[3:]])[0]
    assert bad == pytest.approx(80)
    for name in SNRS:
        perfect = [*inputs[:2], inputs[3], *inputs[3:]]
        assert evaluate(name, perfect)[0] == pytest.approx(-80, abs=1e-3)


def test_speech_preservation_charges_lost_speech_alone():
    inputs = list(batch([100]))
    louder = evaluate("speech_preservation", [2 * inputs[1], *inputs[1:]])
    softer = evaluate("speech_preservation", [inputs[1] / 2, *inputs[1:]])
    assert louder[0] == 0 < softer[0]


def test_weighted_sum_and_reported_values():
    inputs = batch([100, 60])
    terms = {"spec_mse": 0.5, "wave_sisnr": 2, "wave_mse": 0}
    value, parts = evaluate(terms, inputs)
    assert list(parts) == list(terms)
    for name in terms:
        assert parts[name] == pytest.approx(evaluate(name, inputs)[0])
    expected = 0.5 * parts["spec_mse"] + 2 * parts["wave_sisnr"]
    assert value == pytest.approx(expected)


def test_weight_zero_passes_no_nan_on():
    inputs = list(batch([100]))
    inputs[2] = inputs[2] * math.nan
    value, parts = evaluate({"spec_mse": 1, "wave_mse": 0}, inputs)
    assert math.isfinite(value) and math.isnan(parts["wave_mse"])


def test_exponent():
    inputs = batch([100])
    flat = EnhancementLoss("compressed_complex_mse", SETTINGS, exponent=1)
    spec = EnhancementLoss("spec_mse", SETTINGS)
    torch.testing.assert_close(flat(*inputs)[0], spec(*inputs)[0])
    for exponent in (0, -1, 1.5, "x", math.nan, True, None):
        with pytest.raises(UserError, match="exponent"):
            EnhancementLoss("spec_mse", SETTINGS, exponent=exponent)


def test_what_is_not_needed_may_be_none():
    spec, clean, wav, clean_wav, lengths = batch([100])
    loss = EnhancementLoss({"spec_mse": 1, "log1p_mse": 1}, SETTINGS)
    assert not loss.needs_wav and loss.needs_spec
    assert loss(spec, clean, None, None, lengths)[0].isfinite()
    loss = EnhancementLoss("wave_snr", SETTINGS)
    assert loss.needs_wav and not loss.needs_spec
    assert loss(None, None, wav, clean_wav, lengths)[0].isfinite()


def test_half_precision_inputs_are_widened():
    inputs = list(batch([100], dtype=torch.float32))
    inputs[2] = inputs[2].bfloat16()
    value, _ = EnhancementLoss(EVERY, SETTINGS)(*inputs)
    assert value.dtype == torch.float32 and value.isfinite()


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ("spec_mes", "did you mean spec_mse"),
        ({"wave_sisrn": 1}, "did you mean wave_sisnr"),
        ({"spec_mse": True}, "a number from 0"),
        ({"spec_mse": math.nan}, "a number from 0"),
        ({"spec_mse": None}, "a number from 0"),
        ({"wave_sisnr": -0.001}, "a number from 0"),
        ({"spec_mse": 0, "wave_mse": 0.0}, "all weights are 0"),
        ({}, "give a name"),
        (["spec_mse"], "give a name"),
        (None, "give a name"),
    ],
)
def test_bad_terms(terms, message):
    with pytest.raises(UserError, match=message):
        EnhancementLoss(terms, SETTINGS)


def test_what_yaml_takes_for_text_is_a_number():
    assert EnhancementLoss({"spec_mse": "1e-3"}, SETTINGS).terms == {
        "spec_mse": 0.001
    }


def test_all_bad_terms_are_listed():
    with pytest.raises(UserError) as error:
        EnhancementLoss({"spec_mes": 1, "wave_mse": "x"}, SETTINGS)
    assert "spec_mse" in str(error.value) and "'x'" in str(error.value)
