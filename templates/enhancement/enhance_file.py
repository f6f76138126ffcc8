#!/usr/bin/env python3
"""Enhance an audio file with a trained network.

> python enhance_file.py results/enhancement/4234 noisy.wav enhanced.wav
"""

import argparse
from pathlib import Path

import guard_torchaudio  # noqa: F401 - before speechbrain
from helpers import UserError, messages
import numpy as np
import soundfile
from speechbrain.inference.interfaces import foreign_class
import torch
from torchaudio.functional import resample


def load(folder, device="cpu"):
    """Return SpeechBrain's SpectralMaskEnhancement with a trained network.

    ``folder`` is the output folder of a training, or an export folder itself.
    """
    for place in (Path(folder) / "export", Path(folder)):
        if (place / "enhance_model.ckpt").is_file():
            return foreign_class(
                source=str(place),
                hparams_file="inference.yaml",
                pymodule_file="custom_model.py",
                classname="SpectralMaskEnhancement",
                run_opts={"device": device},
            )
    raise UserError(
        f"{folder}: no export/enhance_model.ckpt there: give the output "
        "folder of a training that has finished"
    )


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="output folder of the training")
    parser.add_argument("noisy", help="file to enhance")
    parser.add_argument("enhanced", help="file to write")
    parser.add_argument("--device", default="cpu", help="such as cuda:0")
    options = parser.parse_args()
    if Path(options.enhanced).resolve() == Path(options.noisy).resolve():
        raise UserError(f"{options.enhanced}: that is the noisy file itself")
    try:
        wav, given_rate = soundfile.read(options.noisy, always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise UserError(f"{options.noisy}: cannot be read ({error})") from error
    if not len(wav) or not np.isfinite(wav).all():
        raise UserError(f"{options.noisy}: no samples, or NaN among them")
    enhancer = load(options.folder, options.device)
    rate = enhancer.hparams.sample_rate
    noisy = resample(
        torch.from_numpy(wav.mean(axis=1).astype(np.float32))[None],
        given_rate,
        rate,
        # Longer than the default, which loses 7 kHz of 8 and leaves aliases.
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
    )
    with torch.no_grad():
        enhanced = enhancer.enhance_batch(noisy, lengths=torch.ones(1))
    enhanced = enhanced[0].cpu().numpy()
    Path(options.enhanced).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(options.enhanced, np.clip(enhanced, -1, 1), rate)
    print(
        f"{options.enhanced}: {len(enhanced) / rate:.2f} s at {rate} Hz"
        + ("" if given_rate == rate else f" (from {given_rate} Hz)")
    )


if __name__ == "__main__":
    with messages():
        main()
