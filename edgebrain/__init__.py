"""Speech enhancement from training to a microcontroller, on SpeechBrain.

Importing this package imports nothing heavy. It only installs the repair of
:mod:`edgebrain.torchaudio_repair`, so ``import edgebrain`` must come before
the first import of torchaudio or speechbrain.
"""

from edgebrain import torchaudio_repair as _torchaudio_repair

__version__ = "0.1.0"

_torchaudio_repair.install()
