"""What the template mixes: noise, babble and rooms of an item."""

import numpy as np
import pytest
import soundfile
from template_runs import RATE, voice


def mixer(template, data, training=True, speech=None, **settings):
    prepare = template.mini_librispeech_prepare
    root = data / "LibriSpeech" / "train-clean-5"
    entries = prepare._speech_manifest(root, data)
    for entry in entries.values():
        entry["wav"] = entry["wav"].format(data_root=data)
    if speech is not None:
        entries = {k: v for k, v in entries.items() if speech(k)}
    return template.mixing.Mixer(
        template.mixing.MixingSettings(
            sample_rate=RATE, **{"segment_seconds": 1.0, **settings}
        ),
        11,
        {"speech": entries, "noise": {}, "rir": {}},
        training,
    )


@pytest.mark.parametrize(
    "name, value",
    [
        ("noise_prob", 1.5),
        ("snr_db", (20, -5)),
        ("snr_db", 5),
        ("babble_talkers", (0, 3)),
        ("segment_seconds", float("nan")),
    ],
)
def test_wrong_settings_are_named(template, name, value):
    with pytest.raises(template.helpers.UserError, match=f"mixing: {name}"):
        template.mixing.MixingSettings(**{"sample_rate": RATE, name: value})


def test_items_depend_on_seed_epoch_and_id_alone(template, data):
    first, second = (mixer(template, data) for _ in range(2))
    ids = sorted(first.speech)
    for one in (first, second):
        one.set_epoch(2)
    forward = {i: first(i)[0] for i in ids}
    for i in reversed(ids):
        assert (second(i)[0] == forward[i]).all()
    second.set_epoch(3)
    assert not (second(ids[0])[0] == forward[ids[0]]).all()
    fixed = mixer(template, data, training=False)
    before = fixed(ids[0])[0]
    fixed.set_epoch(9)
    assert (fixed(ids[0])[0] == before).all()


def test_babble_never_has_the_target(template, data):
    mix = mixer(template, data, babble_talkers=(1, 3))
    rng = np.random.default_rng(0)
    for target in mix.speech:
        for _ in range(20):
            ids = mix._babble_ids(target, rng)
            speakers = {mix.speech[i]["speaker"] for i in ids}
            assert ids and mix.speech[target]["speaker"] not in speakers
    alone = mixer(template, data, speech=lambda k: "/1/" in k)
    for target in alone.speech:
        assert target not in alone._babble_ids(target, rng)


@pytest.mark.parametrize("noise, babble", [(1, 0), (0, 1), (1, 1)])
def test_snr_is_the_one_asked_for(template, data, noise, babble):
    mix = mixer(
        template,
        data,
        snr_db=(5, 5),
        noise_prob=noise,
        babble_prob=babble,
        reverb_prob=0,
    )
    noisy, clean = (x.double().numpy() for x in mix(sorted(mix.speech)[0]))
    snr = 10 * np.log10(np.sum(clean**2) / np.sum((noisy - clean) ** 2))
    assert snr == pytest.approx(5, abs=1e-3)
    assert 10 ** (-30 / 20) * 0.999 < np.abs(noisy).max() < 1


def test_reverberation_is_linear_and_in_time(template, data):
    mix = mixer(
        template, data, noise_prob=0, babble_prob=0, reverb_prob=1, early_ms=0
    )
    name = sorted(mix.speech)[0]
    noisy, clean = (x.double().numpy() for x in mix(name))
    dry = template.mixing.read(
        mix.speech[name]["wav"], RATE, mix.item_rng(name), RATE
    )
    assert np.corrcoef(dry, clean)[0, 1] > 0.9999
    assert np.abs(noisy - clean).max() > 1e-3
    impulse = np.zeros(RATE)
    impulse[-100] = 1
    wet, _ = mix._reverberate(impulse, np.random.default_rng(0))
    assert np.abs(wet[:-100]).max() < 1e-9  # nothing wraps to the start


def test_wrong_sample_rate_is_named(template, tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, voice(1), 8000)
    with pytest.raises(template.helpers.UserError, match=r"x\.wav.*8000 Hz"):
        template.mixing.read(str(path), RATE)
