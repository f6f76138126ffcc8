"""Keys of a yaml and run options that every recipe shares, with their rules.

A rule is a callable of :mod:`edgebrain.checks` that takes a value and returns
it in its type, or None where any value may stand. Command line and yaml are
checked by these tables before anything is built, what is built after it.
"""

from dataclasses import dataclass

from edgebrain.checks import Name, Number, Unfit, switch
from edgebrain.signal import SignalSettings
from edgebrain.training.qat import QuantizationAware
from edgebrain.training.regularization import (
    ActivationRegularizer,
    WeightClipper,
)
import torch

_COUNT = Number(whole=True, least=1)
_FROM_ZERO = Number(whole=True, least=0, optional=True)
_PRECISION = Name("precision", ("fp32", "fp16", "bf16"))


@dataclass(frozen=True)
class Built:
    """An object that the yaml builds with ``!new:``, or nothing."""

    kind: type
    optional: bool = True

    def __call__(self, value):
        """Return the object."""
        if isinstance(value, self.kind) or (value is None and self.optional):
            return value
        name = f"{self.kind.__module__}.{self.kind.__qualname__}"
        raise Unfit(f"built with !new:{name}, not {value!r}")


def text(value) -> str | None:
    """Return a text or a path."""
    if value is None or isinstance(value, str):
        return value
    raise Unfit(f"a text, not {value!r}")


def device(value) -> str | None:
    """Return the name of a device that this machine has."""
    if value is None:
        return None
    try:
        kind = torch.device(value)
    except (RuntimeError, TypeError):
        raise Unfit(f"cpu, cuda or cuda:N, not {value!r}") from None
    if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
        raise Unfit(
            f"{value}: this machine has {torch.cuda.device_count()} CUDA "
            "devices; leave the option out to take what is there"
        )
    return str(value)


def n_jobs(value) -> int | None:
    """Return a number of processes; None or -1: one a core."""
    return None if value in (None, -1, "-1") else _COUNT(value)


def whether(value) -> bool:
    """Return a switch that may be left empty."""
    return False if value is None else switch(value)


def names(value) -> list[str]:
    """Return a list of names; a single one may stand alone."""
    listed = [value] if isinstance(value, str) else value
    good = isinstance(listed, list | tuple)
    if good and listed and all(isinstance(name, str) for name in listed):
        return list(listed)
    raise Unfit(f"a list of names, not {value!r}")


def clipping(value):
    """Return what clips the weights of a network, built or of a number."""
    if value is None or callable(value):
        return value
    return WeightClipper(Number(above=0)(value))


def share(value):
    """Return a number of items, or a part of them below 1; None: all."""
    if value is None:
        return None
    number = Number(above=0)(value)
    return number if number < 1 else _COUNT(value)


def _modules(value) -> dict:
    model = value.get("model") if isinstance(value, dict) else None
    if not isinstance(model, torch.nn.Module):
        raise Unfit("a mapping with a network: {model: !ref <model>}")
    return value


def _gpus(value) -> bool:
    if switch(value) and not torch.cuda.device_count():
        raise Unfit("needs CUDA devices, and this machine has none")
    return switch(value)


def _no_jit(value) -> bool:
    if switch(value):
        raise Unfit("the networks cannot be scripted; take --compile")
    return False


def _listed(value) -> list[str]:
    if not isinstance(value, str):
        raise Unfit(f"names of modules, not {value!r}")
    return value.replace(",", " ").split()


#: Top-level keys of a yaml that the shared code reads.
KEYS = {
    "seed": Number(whole=True, least=0, most=2**32 - 1),
    "output_folder": text,
    "save_folder": text,
    "test_folder": text,
    "data_folder": None,
    "cache_folder": text,
    "sample_rate": _COUNT,
    "signal": Built(SignalSettings, optional=False),
    "model": None,
    "modules": _modules,
    "loss": None,
    "opt_class": None,
    "lr_scheduler": None,
    "weight_clipping": clipping,
    "activation_regularizer": Built(ActivationRegularizer),
    "quantization_aware": Built(QuantizationAware),
    "init_from": text,
    "number_of_epochs": _COUNT,
    "batch_size": _COUNT,
    "num_workers": Number(whole=True, least=0),
    "metrics": names,
    "select_by": text,
    "patience": _FROM_ZERO,
    "save_every_epochs": _FROM_ZERO,
    "tensorboard": whether,
    "mlflow": whether,
    "n_jobs": n_jobs,
    "skip_bad": whether,
    "grad_accumulation_factor": _COUNT,
    "max_grad_norm": Number(least=0),
    "precision": _PRECISION,
    "eval_precision": _PRECISION,
    "ckpt_interval_minutes": Number(least=0),
    "ckpt_interval_steps": Number(whole=True, least=0),
    "optimizer_step_limit": _FROM_ZERO,
    "nonfinite_patience": Number(whole=True, least=0),
}
#: Rules of keys that count wherever they are: others may refer to them.
RULES = {
    **{key: rule for key, rule in KEYS.items() if rule is not None},
    "lr": Number(least=0),
    "experiment": text,
}
#: Rules of SpeechBrain's run options.
RUN_OPTIONS = {
    **dict.fromkeys(
        "test_only debug debug_persistently distributed_launch "
        "find_unused_parameters compile compile_using_fullgraph "
        "compile_using_dynamic_shape_tracing auto_mix_prec "
        "bfloat16_mix_prec skip_nonfinite_grads noprogressbar "
        "tqdm_colored_bar remove_vector_weight_decay "
        "profile_training".split(),
        switch,
    ),
    **dict.fromkeys(
        "debug_batches debug_epochs profile_warmup profile_steps".split(),
        _COUNT,
    ),
    **{key: rule for key, rule in KEYS.items() if rule is not None},
    "device": device,
    "jit": _no_jit,
    "jit_module_keys": _no_jit,
    "compile_module_keys": _listed,
    "compile_mode": Name(
        "compile mode",
        ("default", "reduce-overhead", "max-autotune"),
    ),
    "data_parallel_backend": _gpus,
    "data_parallel_count": Number(whole=True, least=-1),
    "distributed_backend": Name("backend", ("nccl", "gloo", "mpi")),
}
#: Where things are: no settings, so they may change between two runs.
PATHS = frozenset(
    "data_folder output_folder save_folder test_folder cache_folder "
    "noise_folder rir_folder experiment init_from".split()
)
#: What else may differ when a run is continued: it changes no result.
RUNTIME = frozenset(
    "num_workers n_jobs tensorboard mlflow save_every_epochs save_enhanced "
    "skip_prep download mirrors".split()
)
#: Names that others give to keys.
ALIASES = {
    "learning_rate": "lr",
    "epochs": "number_of_epochs",
    "workers": "num_workers",
    "data": "data_folder",
    "output": "output_folder",
}
