"""The options of a command, as the developer cloud takes them."""

import re
import shlex

from deploy.st.commands import Step
from deploy.st.targets import Target

#: Words of a local command that the cloud has keys of its own for.
_KEYED = (
    "-m",
    "--target",
    "--optimization",
    "--st-neural-art",
    "-o",
    "--workspace",
)


def make_options(step: Step, model: str, target: Target) -> dict:
    """Return the options of a local command as the services take them.

    Arguments
    ---------
    step : Step
    model : str
        Its name in the cloud.
    target : Target
    """
    keyed, rest = {}, []
    words = iter(step.words[1:])
    for word in words:
        if word in _KEYED:
            keyed[word] = next(words)
        else:
            rest.append(word)
    options = {
        "model": model,
        "type": "onnx",
        "name": "network",
        "target": keyed["--target"],
        "verbosity": 1,
        "allocateInputs": True,
        "allocateOutputs": True,
    }
    if "--optimization" in keyed:
        options["optimization"] = keyed["--optimization"]
    if "--st-neural-art" in keyed:
        # The profile's file stays here: its pools and options go along.
        options["stNeuralArt"] = keyed["--st-neural-art"].partition("@")[0]
        profile = target.tool["profile_options"]
        options["atonnOptions"] = compiler_options(profile)
    if rest:
        options["extraCommandLineArguments"] = shlex.join(rest)
    return options


def compiler_options(text: str) -> dict:
    """Return options of the Neural-ART compiler as keys and values.

    >>> compiler_options("--Os -O3 --Omax-ca-pipe 4")
    {'Os': True, 'optimization': 3, 'Omax-ca-pipe': 4}
    """
    options, key = {}, ""
    for word in shlex.split(text):
        if re.fullmatch(r"-O\d", word):
            options["optimization"] = int(word[2:])
        elif word.startswith("-"):
            key = word.lstrip("-")
            options[key] = True
        else:
            options[key] = int(word) if word.isdigit() else word
    return options
