"""The options of a command, as the developer cloud takes them."""

import shlex

from deploy.st.commands import Step
from deploy.st.targets import Target

#: Keys of the services for words of a local command; None: has no meaning.
_KEYS = {
    "-m": None,
    "-o": None,
    "--workspace": None,
    "--st-neural-art": None,
    "--target": "target",
    "--optimization": "optimization",
    "--input-data-type": "inputDataType",
    "--output-data-type": "outputDataType",
}


def make_options(step: Step, model: str, target: Target) -> dict:
    """Return the options of a local command as the services take them.

    Only keys that ST's own wrapper has. With an accelerator it is the
    service's own profile for its board and the epoch controller, as in ST's
    benchmarks; the profile of the package stays here.

    Arguments
    ---------
    step : Step
    model : str
        Its name in the cloud.
    target : Target
    """
    options = {
        "model": model,
        "type": "onnx",
        "name": "network",
        "verbosity": 1,
        "allocateInputs": True,
        "allocateOutputs": True,
    }
    rest, words = [], iter(step.words[1:])
    for word in words:
        if word not in _KEYS:
            rest.append(word)
            continue
        value, key = next(words), _KEYS[word]
        if key is not None:
            options[key] = value
    if target.tool.get("neural_art"):
        options["stNeuralArt"] = "default"
        options["atonnOptions"] = {"enable-epoch-controller": True}
    if rest:
        options["extraCommandLineArguments"] = shlex.join(rest)
    return options
