"""Keep weights and activations small enough for 8 bits.

An int8 tensor has 256 steps between its smallest and its largest value, so a
single huge weight or activation takes the resolution from all the others.
"""

from edgebrain.checks import Name, Number, check
from edgebrain.errors import UserError, unknown_name
import torch

_POSITIVE = Number(above=0)


def find_layers(model, layer_types):
    """Return the layers of a model, by name, that are of some types.

    A type is the class name of the layer itself or of one it derives from: a
    ``CausalConv1d`` that derives from ``Conv1d`` is both.
    """
    if isinstance(layer_types, str):
        layer_types = (layer_types,)
    wanted = set(layer_types)
    layers, present, known = {}, set(), set()
    for name, module in model.named_modules():
        classes = type(module).__mro__
        types = [c.__name__ for c in classes[: classes.index(torch.nn.Module)]]
        known.update(types[:1])
        present.update(types)
        if wanted.intersection(types):
            layers[name] = module
    problems = [
        str(unknown_name("layer type", name, known))
        for name in sorted(wanted - present)
    ]
    if problems:
        raise UserError.collect(
            f"layers of {type(model).__name__}, which has none of a type",
            problems,
        )
    return layers


class WeightClipper:
    """Clamp weights to [-max_value, max_value] after an optimiser step.

    Arguments
    ---------
    layer_types : str or iterable of str, optional
        Class names of the layers to clip. Left out: every layer with a
        weight of two or more dimensions (convolution, linear, recurrent),
        so neither the scale of a normalisation nor a PReLU's slope.
    bias_max : float, optional
        Clamps the biases of the same layers too.

    Example
    -------
    >>> layer = torch.nn.Linear(1, 1)
    >>> _ = torch.nn.init.constant_(layer.weight, 3.0)
    >>> WeightClipper(0.5)(layer)
    >>> layer.weight.item()
    0.5
    """

    def __init__(self, max_value, layer_types=None, bias_max=None):
        bounds = {"max_value": max_value, "bias_max": bias_max}
        rules = {
            "max_value": _POSITIVE,
            "bias_max": Number(above=0, optional=True),
        }
        bounds = check("WeightClipper", bounds, rules)
        self.bounds = {"weight": bounds["max_value"]}
        if bias_max is not None:
            self.bounds["bias"] = bounds["bias_max"]
        self.layer_types = layer_types

    @torch.no_grad()
    def __call__(self, model):
        """Clip the model in place."""
        if self.layer_types is None:
            layers = [m for m in model.modules() if _has_matrix(m)]
        else:
            layers = find_layers(model, self.layer_types).values()
        for layer in layers:
            for name, parameter in layer.named_parameters(recurse=False):
                for start, bound in self.bounds.items():
                    if name.startswith(start):
                        parameter.clamp_(-bound, bound)


def _has_matrix(module):
    parameters = module.named_parameters(recurse=False)
    return any(n.startswith("weight") and p.dim() > 1 for n, p in parameters)


def _penalty(activation, threshold, penalty):
    """Return the mean of what exceeds the threshold, or of its square."""
    # Of a copy: a layer behind may work in place (``ReLU(inplace=True)``).
    excess = torch.nn.functional.softshrink(activation.clone(), threshold)
    # Half precision would overflow in the square of a huge activation.
    wide = excess if excess.dtype == torch.float64 else excess.float()
    return wide.abs().mean() if penalty == "l1" else wide.square().mean()


class ActivationRegularizer:
    """Penalise activations whose size is above a threshold.

    The penalty of a layer is the mean over all elements of its output of
    ``relu(|a| - threshold)`` (l1) or of its square (l2): activations below
    the threshold are free. Of a layer with several outputs (LSTM) the first
    counts. Padding frames count as the others do.

    Arguments
    ---------
    layer_types : str or iterable of str
        Class names of the layers whose output counts ("Conv1d", "ReLU",
        "PReLU", "BatchNorm1d", "LSTM", ...).
    penalty : str
        "l1" or "l2".
    weight : float
        Factor of the sum over layers.

    Example
    -------
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    >>> regularizer = ActivationRegularizer("ReLU", threshold=6.0)
    >>> regularizer.attach(model)
    >>> _ = model(torch.zeros(3, 2))
    >>> regularizer.value().item()
    0.0
    """

    def __init__(self, layer_types, threshold, penalty="l2", weight=1.0):
        self.layer_types = layer_types
        given = {"threshold": threshold, "weight": weight, "penalty": penalty}
        rules = {
            "threshold": _POSITIVE,
            "weight": _POSITIVE,
            "penalty": Name("penalty", ("l1", "l2")),
        }
        vars(self).update(check("ActivationRegularizer", given, rules))
        self._values = []

    def attach(self, model):
        """Watch the layers of a model while it trains."""
        for layer in find_layers(model, self.layer_types).values():
            layer.register_forward_hook(self._record)

    def value(self):
        """Return the weighted penalty since the last call, and forget it.

        Zero when no layer ran in training mode.
        """
        values, self._values = self._values, []
        if not values:
            return torch.zeros(())
        return self.weight * torch.stack(values).sum()

    def _record(self, module, inputs, output):
        if not (module.training and torch.is_grad_enabled()):
            return
        while isinstance(output, (tuple, list)):
            output = output[0]
        self._values.append(_penalty(output, self.threshold, self.penalty))
