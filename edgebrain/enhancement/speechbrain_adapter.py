"""The audio around a mask network, in SpeechBrain's own terms.

The text of this file travels inside the inference.yaml of an exported
network, so it uses torch and SpeechBrain and nothing else.

SpectralMaskEnhancement works on log1p magnitudes: with f = log1p|X| it calls
``resynth(expm1(mask * f), noisy)``. The network gives a gain g, so the mask
handed over is log1p(g |X|) / f. A negative gain is handed over as
-log1p(|g X|) / f and comes out of expm1 as y = 1 / (1 + |g X|) - 1, from
which ``resynthesize`` takes g |X| = y / (1 + y).
"""

import speechbrain.processing.features as features
import torch


class Analysis(features.STFT):
    """SpeechBrain's STFT with what a training may add to it.

    Arguments
    ---------
    whole_hops : bool
        Append zeros up to a multiple of the hop, for long hops.
    peak_normalize : bool
        Divide each signal by its peak.
    **settings
        Of ``speechbrain.processing.features.STFT``.
    """

    def __init__(self, whole_hops=False, peak_normalize=False, **settings):
        super().__init__(**settings)
        self.whole_hops = whole_hops
        self.peak_normalize = peak_normalize

    def forward(self, x):
        """Return (batch, frames, bins, 2) of signals (batch, samples)."""
        x = x / self.peak(x)
        if self.whole_hops:
            missing = -x.shape[-1] % self.hop_length
            x = torch.nn.functional.pad(x, (0, missing))
        return super().forward(x)

    def peak(self, x):
        """Return what signals are divided by, (batch, 1)."""
        peak = x.abs().amax(-1, keepdim=True)
        if self.peak_normalize:
            return torch.where(peak < 1e-8, 1.0, peak)
        return torch.ones_like(peak)


class MaskAdapter(torch.nn.Module):
    """A network from magnitude to gain, as SpectralMaskEnhancement calls it.

    Arguments
    ---------
    power : float
        The network sees |X| ** power.
    """

    def __init__(self, power=1.0):
        super().__init__()
        self.power = power
        self.network = None

    def load(self, path):
        """Load the network, a TorchScript file."""
        self.network = torch.jit.load(path, map_location="cpu").eval()

    def forward(self, log_magnitude, lengths=None):
        """Return the mask of log1p magnitudes, both (batch, frames, bins).

        ``lengths`` changes nothing: zeros after the end of an item are
        heard as silence.
        """
        magnitude = torch.expm1(log_magnitude)
        seen = magnitude if self.power == 1.0 else magnitude**self.power
        gain = self.network(seen.transpose(1, 2)).transpose(1, 2)
        wanted = torch.sign(gain) * torch.log1p(gain.abs() * magnitude)
        return wanted / torch.where(log_magnitude > 0, log_magnitude, 1.0)


def load_network(adapter, path):
    """Load a network into its adapter, for SpeechBrain's Pretrainer."""
    adapter.load(str(path))


def resynthesize(estimate, noisy, stft, istft):
    """Return the signals of magnitudes, with the phase of the noisy ones.

    Arguments
    ---------
    estimate : torch.Tensor
        From SpectralMaskEnhancement, (batch, frames, bins).
    noisy : torch.Tensor
        (batch, samples).
    stft : Analysis
        That made the magnitudes.
    istft : torch.nn.Module
        Its inverse.
    """
    magnitude = torch.where(estimate < 0, estimate / (1 + estimate), estimate)
    spec = stft(noisy)
    angle = torch.atan2(spec[..., 1], spec[..., 0])
    parts = magnitude * torch.cos(angle), magnitude * torch.sin(angle)
    wav = istft(torch.stack(parts, -1), sig_length=noisy.shape[1])
    return wav * stft.peak(noisy)


def sqrt_hann(length):
    """Return the square root of a periodic Hann window."""
    return torch.hann_window(length).sqrt()
