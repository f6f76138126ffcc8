"""The network: edit this file to try your own.

Training, scoring, the export and enhance_file.py ask one thing of it: called
with log1p magnitudes ``(batch, frames, bins)`` and the relative ``lengths``
of the items, it returns a mask of the same shape. Keep the network in this
one file, because the file travels with the exported weights: import packages
in it, but nothing else of this folder.
"""

import speechbrain as sb
import torch


class CustomModel(torch.nn.Module):
    """Recurrent mask estimator: log spectrum, projection, LSTM, mask.

    Without ``bidirectional`` it is causal: a frame of the mask depends on
    that frame and the ones before it.

    Arguments
    ---------
    input_size, projection, rnn_size : int
        Bins of a frame, width of the projection, cells of an LSTM layer.
    layers : int
        How many LSTM layers there are.
    bidirectional : bool
        Whether the LSTM also reads the future.
    dropout : float
        Probability, between LSTM layers.
    """

    def __init__(
        self,
        input_size,
        projection=128,
        rnn_size=256,
        layers=2,
        bidirectional=False,
        dropout=0.0,
    ):
        super().__init__()
        self.project = sb.nnet.linear.Linear(
            n_neurons=projection, input_size=input_size
        )
        # Over the bins of one frame: causal, and it evens out the level.
        self.norm = torch.nn.LayerNorm(projection)
        self.activation = torch.nn.LeakyReLU(0.1)
        self.rnn = sb.nnet.RNN.LSTM(
            hidden_size=rnn_size,
            input_size=projection,
            num_layers=layers,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.mask = sb.nnet.linear.Linear(
            n_neurons=input_size,
            input_size=projection + rnn_size * (2 if bidirectional else 1),
        )
        self.bidirectional = bidirectional

    def forward(self, x, lengths=None):
        """Return the mask, from 0 to 1, (batch, frames, bins).

        ``x`` are log1p magnitudes of that shape. Only a bidirectional network
        needs the ``lengths``, to read backwards from the end of each item.
        """
        # log1p hardly compresses a quiet recording, the logarithm does. Its
        # floor is 100 dB below full scale: it must not lift the noise of the
        # converter.
        x = torch.log(torch.expm1(x) + 1e-3)
        x = self.activation(self.norm(self.project(x)))
        y, _ = self.rnn(x, lengths=lengths if self.bidirectional else None)
        # Unpacking stops at the longest item; the padding has no sound.
        y = torch.nn.functional.pad(y, (0, 0, 0, x.shape[1] - y.shape[1]))
        return torch.sigmoid(self.mask(torch.cat([x, y], dim=-1)))
