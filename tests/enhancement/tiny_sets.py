"""Tiny sets of recordings, and what the tests of data sets read of them."""

import json

from edgebrain.enhancement.datasets import mixing_dataset
from edgebrain.enhancement.mixing import MixingSettings
import numpy as np
import soundfile

RATE = 16000
NOTHING = {
    f"{name}_prob": 0
    for name in (
        "noise",
        "second_noise",
        "babble",
        "reverb",
        "level",
        "silence",
        "clip",
        "band_limit",
    )
}
EVERYTHING = {key: 0.7 for key in NOTHING}


def only(**settings):
    return MixingSettings(**{**NOTHING, **settings})


def write_set(folder, kind, signals, **extra):
    """Write wavs and a manifest; extra holds functions of the index."""
    entries = {}
    for i, wav in enumerate(signals):
        path = folder / kind / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wav, RATE)
        entries[f"{kind}/{i}"] = {
            "wav": f"{{data_root}}/{kind}/{i}.wav",
            "duration": len(wav) / RATE,
            **{key: function(i) for key, function in extra.items()},
        }
    manifest = folder / f"{kind}.json"
    # Not in order: the order of the manifest must not matter.
    manifest.write_text(json.dumps(dict(reversed(entries.items()))))
    return manifest


def make(corpus, settings, **options):
    options = {"seed": 1, "crop_seconds": 0.5, **options}
    return mixing_dataset(
        corpus / "speech.json",
        corpus / "noise.json",
        corpus / "rir.json",
        settings,
        RATE,
        **options,
    )


def items(dataset):
    return {
        item["id"]: (item["noisy_sig"].numpy(), item["clean_sig"].numpy())
        for item in (dataset[i] for i in range(len(dataset)))
    }


def with_info(dataset):
    with dataset.output_keys_as(["id", "noisy_sig", "clean_sig", "mix_info"]):
        return [dataset[i] for i in range(len(dataset))]


def same(a, b):
    return a.keys() == b.keys() and all(
        np.array_equal(x, y)
        for key in a
        for x, y in zip(a[key], b[key], strict=True)
    )
