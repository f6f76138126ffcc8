"""Keys of a yaml and run options that every recipe shares, with their rules.

A rule is a callable of :mod:`edgebrain.checks` that takes a value and returns
it in its type, or None where any value may stand. Command line and yaml are
checked by one table before anything is built.
"""

from edgebrain.checks import Name, Number, switch
from edgebrain.errors import UserError
import torch

_COUNT = Number(whole=True, least=1)
_FROM_ZERO = Number(whole=True, least=0, optional=True)
_PRECISION = Name("precision", ("fp32", "fp16", "bf16"))


def device(value: str | None) -> str | None:
    """Return the name of a device that this machine has."""
    if value is None:
        return None
    try:
        kind = torch.device(value)
    except (RuntimeError, TypeError):
        raise UserError(f"cpu, cuda or cuda:N, not {value!r}") from None
    if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"{value}: this machine has {torch.cuda.device_count()} CUDA "
            "devices; leave the option out to take what is there"
        )
    return str(value)


def n_jobs(value):
    """Return a number of processes; None or -1: one a core."""
    return None if value in (None, -1) else _COUNT(value)


def whether(value):
    """Return a switch that may be left empty."""
    return False if value is None else switch(value)


#: Top-level keys of a yaml that the shared code reads.
KEYS = {
    "seed": Number(whole=True, least=0, most=2**32 - 1),
    "output_folder": None,
    "save_folder": None,
    "test_folder": None,
    "data_folder": None,
    "cache_folder": None,
    "sample_rate": _COUNT,
    "signal": None,
    "model": None,
    "modules": None,
    "loss": None,
    "opt_class": None,
    "lr_scheduler": None,
    "weight_clipping": None,
    "activation_regularizer": None,
    "quantization_aware": None,
    "init_from": None,
    "number_of_epochs": _COUNT,
    "batch_size": _COUNT,
    "num_workers": _FROM_ZERO,
    "metrics": None,
    "select_by": None,
    "patience": _FROM_ZERO,
    "save_every_epochs": _FROM_ZERO,
    "tensorboard": whether,
    "mlflow": whether,
    "n_jobs": n_jobs,
    "grad_accumulation_factor": _COUNT,
    "max_grad_norm": Number(least=0),
    "precision": _PRECISION,
    "eval_precision": _PRECISION,
    "ckpt_interval_minutes": Number(least=0),
    "ckpt_interval_steps": Number(whole=True, least=0),
    "optimizer_step_limit": _FROM_ZERO,
    "nonfinite_patience": Number(whole=True, least=0),
}
#: Keys that a yaml may refer to, and run options of SpeechBrain.
RULES = {
    **{key: rule for key, rule in KEYS.items() if rule is not None},
    "lr": Number(least=0),
    "device": device,
}
