"""Classes that moved: yamls and checkpoints with their old names go on."""

import re

_NETWORKS = "edgebrain.enhancement.networks"
#: Old dotted name, or the module in front of a name, to where it is now.
MOVED = {
    **{
        f"edgebrain.models.{name}": f"{_NETWORKS}.{name}"
        for name in (
            *("STFTTCNN", "LSTMMask", "ConvLSTM", "NNSE"),
            *("stft_tcnn", "lstm_mask", "conv_lstm", "nnse"),
        )
    },
    "edgebrain.data.mixing": "edgebrain.enhancement.mixing",
    "edgebrain.data.mixing_settings": "edgebrain.enhancement.mixing_settings",
    "edgebrain.training.losses": "edgebrain.enhancement.losses",
}
_ANY = re.compile(
    rf"(?<![\w.])(?:{'|'.join(re.escape(name) for name in MOVED)})(?!\w)"
)


def current_names(text: str) -> str:
    """Return a yaml or a dotted name with every old name replaced.

    >>> current_names("model: !new:edgebrain.models.NNSE")
    'model: !new:edgebrain.enhancement.networks.NNSE'
    """
    return _ANY.sub(lambda found: MOVED[found[0]], text)
