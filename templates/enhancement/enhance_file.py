#!/usr/bin/env python3
"""Enhance an audio file with a trained network.

> python enhance_file.py results/enhancement/4234 noisy.wav enhanced.wav
"""

import argparse
import math
from pathlib import Path
import sys

from errors import UserError
import guard_torchaudio  # noqa: F401 - before speechbrain
import numpy as np
from scipy.signal import resample_poly
import soundfile
from speechbrain.inference.enhancement import SpectralMaskEnhancement
import torch


def load(folder, device="cpu"):
    """Load the exported network of a results folder.

    Arguments
    ---------
    folder : str or pathlib.Path
        The output folder of a training, or the export folder itself.
    device : str
        Where to run it, such as ``cuda:0``.

    Returns
    -------
    speechbrain.inference.enhancement.SpectralMaskEnhancement

    Raises
    ------
    errors.UserError
        No export there.
    """
    folder = Path(folder)
    for place in (folder / "export", folder):
        if (place / "enhance_model.ckpt").is_file():
            return SpectralMaskEnhancement.from_hparams(
                source=str(place),
                hparams_file="inference.yaml",
                run_opts={"device": device},
            )
    raise UserError(
        f"{folder}: no export/enhance_model.ckpt there: give the output "
        "folder of a training that has finished"
    )


def enhance(enhancer, wav, sample_rate):
    """Enhance a signal at any rate.

    Arguments
    ---------
    enhancer : SpectralMaskEnhancement
        From ``load``.
    wav : numpy.ndarray
        (samples,).
    sample_rate : int
        Of the signal, in Hz.

    Returns
    -------
    numpy.ndarray
        float32, (samples,), at the rate of the network.
    """
    rate = enhancer.hparams.sample_rate
    if sample_rate != rate:
        common = math.gcd(rate, sample_rate)
        # A longer filter than scipy's own keeps 7 kHz and leaves no alias.
        factor = max(rate, sample_rate) // common
        window = ("kaiser", 14.77)
        taps = _lowpass(factor, window)
        wav = resample_poly(
            wav, rate // common, sample_rate // common, window=taps
        )
    batch = torch.from_numpy(np.asarray(wav, dtype=np.float32))[None]
    with torch.no_grad():
        enhanced = enhancer.enhance_batch(batch, lengths=torch.ones(1))
    return enhanced[0].cpu().numpy()


def _lowpass(factor, window):
    """Return a low-pass with 64 zero crossings a side for resample_poly."""
    from scipy.signal import firwin

    return firwin(2 * 64 * factor + 1, 0.9476 / factor, window=window)


def main(arguments=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="output folder of the training")
    parser.add_argument("noisy", help="file to enhance")
    parser.add_argument("enhanced", help="file to write")
    parser.add_argument("--device", default="cpu", help="such as cuda:0")
    options = parser.parse_args(arguments)
    if Path(options.enhanced).resolve() == Path(options.noisy).resolve():
        raise UserError(f"{options.enhanced}: that is the noisy file itself")
    try:
        wav, sample_rate = soundfile.read(options.noisy, always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise UserError(f"{options.noisy}: cannot be read ({error})") from error
    if not len(wav) or not np.isfinite(wav).all():
        raise UserError(f"{options.noisy}: no samples, or NaN among them")
    enhancer = load(options.folder, options.device)
    enhanced = enhance(enhancer, wav.mean(axis=1), sample_rate)
    rate = enhancer.hparams.sample_rate
    Path(options.enhanced).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(options.enhanced, np.clip(enhanced, -1, 1), rate)
    print(
        f"{options.enhanced}: {len(enhanced) / rate:.2f} s at {rate} Hz"
        + ("" if sample_rate == rate else f" (from {sample_rate} Hz)")
    )


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
