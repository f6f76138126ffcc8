"""A trained enhancement network, to be loaded with SpeechBrain alone.

SpeechBrain's ``foreign_class`` runs this file and takes ``MaskEnhancement``
from it; inference.yaml beside it holds the numbers, network.ckpt the network.
"""

import sys
from types import ModuleType

from speechbrain.inference.enhancement import SpectralMaskEnhancement
from speechbrain.utils.checkpoints import (
    mark_as_transfer,
    register_checkpoint_hooks,
)
import torch

WINDOWS = {
    "hann": torch.hann_window,
    "hamming": torch.hamming_window,
    "sqrt_hann": lambda length: torch.hann_window(length).sqrt(),
}


@register_checkpoint_hooks
class Network(torch.nn.Module):
    """A TorchScript file: from magnitude to mask, (batch, bins, frames)."""

    @mark_as_transfer
    def load(self, path):
        """Load the file, for SpeechBrain's Pretrainer."""
        self.script = torch.jit.load(str(path), map_location="cpu").eval()

    def forward(self, magnitude):
        """Return the mask of a magnitude."""
        return self.script(magnitude)


class MaskEnhancement(SpectralMaskEnhancement):
    """SpeechBrain's interface, with a mask on the magnitude itself."""

    HPARAMS_NEEDED = ["n_fft", "hop_length", "win_length", "window"]

    def enhance_batch(self, noisy, lengths=None):
        """Return enhanced signals, (batch, samples) as the noisy ones.

        ``lengths`` changes nothing: padding is heard as silence.
        """
        hparams, noisy = self.hparams, noisy.to(self.device)
        peak = noisy.abs().amax(-1, keepdim=True)
        divided = hparams.peak_normalize & (peak >= 1e-8)
        peak = torch.where(divided, peak, 1.0)
        missing = -noisy.shape[-1] % hparams.hop_length
        whole = (0, missing if hparams.whole_hops else 0)
        window = WINDOWS[hparams.window](hparams.win_length).to(noisy)
        stft = (hparams.n_fft, hparams.hop_length, hparams.win_length, window)
        spec = torch.stft(
            torch.nn.functional.pad(noisy / peak, whole),
            *stft,
            pad_mode="constant",
            return_complex=True,
        )
        mask = self.mods.enhance_model(spec.abs() ** hparams.power)
        return torch.istft(spec * mask, *stft, length=noisy.shape[-1]) * peak


# foreign_class gives this module no name, and its folder comes last on the
# path: under this name inference.yaml finds this file and no other.
sys.modules["edgebrain_adapter"] = ModuleType("edgebrain_adapter")
sys.modules["edgebrain_adapter"].Network = Network
