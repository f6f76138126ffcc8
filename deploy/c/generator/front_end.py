"""From samples to the features of a detector, in float."""

from dataclasses import dataclass

from edgebrain.errors import UserError
from edgebrain.events.patches import PatchSettings
from edgebrain.onnx.metadata import GraphMetadata
from edgebrain.signal import SignalSettings
from edgebrain.signal.mel import MelSettings
import numpy as np

F32 = np.float32


@dataclass(frozen=True)
class FrontEnd:
    """What lies in front of a network that hears log-mel patches.

    Float (name, argument) ``steps`` lead from the magnitude to the features.
    A window ends ``spare`` samples before the newest one, so that frames lie
    where those of a whole recording do; ``first_hop`` hops come before the one
    with the first frame; a patch starts each ``patch_step`` frames.
    """

    signal: SignalSettings
    steps: list[tuple]
    bands: int
    spare: int
    first_hop: int
    patch_step: int


def front_end(card: GraphMetadata) -> FrontEnd:
    """Return the front end that a card describes."""
    mel = MelSettings.from_dict(card.features["mel"], card.signal)
    patch = PatchSettings.from_dict(card.features["patch"])
    if mel.to_db:
        raise UserError(
            "to_db: dB below the loudest value of a clip, which a stream "
            "does not know; train with to_db false"
        )
    signal = mel.signal
    steps = [("pow", F32(signal.power))] if signal.power != 1 else []
    steps += [
        ("mel", mel.filters),
        ("add", F32(mel.log_offset)),
        ("log", None),
    ]
    # Frame t ends at sample t * hop + end; it is there with a whole hop.
    end = signal.win_length - signal.offset
    spare = -end % signal.hop_length
    first = (end + spare) // signal.hop_length - 1
    return FrontEnd(signal, steps, mel.n_mels, spare, first, patch.step)
