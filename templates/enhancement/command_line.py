"""Read the command line of train.py and refuse what would be lost in it.

SpeechBrain 1.1 drops or garbles some arguments without a word: abbreviated
options are parsed and then ignored, a value with an equals sign is split, an
option without a value becomes null, and the step limit stays a string.
"""

import dataclasses

from errors import UserError
import guard_torchaudio  # noqa: F401
import speechbrain as sb
from speechbrain.utils.run_opts import RunOptions

_FLAGS = {
    field.name
    for field in dataclasses.fields(RunOptions)
    if field.default is False
}
_OPTIONS = {field.name for field in dataclasses.fields(RunOptions)}
_BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}


def parse(arguments):
    """Parse a command line as ``speechbrain.parse_arguments`` does, safely.

    ``--flag True`` and ``--flag False`` work for SpeechBrain's own flags too
    (``--test_only True``), and ``--skip_prep`` alone means True.

    Arguments
    ---------
    arguments : list of str
        The command line without the program's name.

    Returns
    -------
    hparams_file : str
        The yaml file.
    run_opts : speechbrain.utils.run_opts.RunOptions
        SpeechBrain's run options.
    overrides : str
        The yaml text that overrides keys of the file.

    Raises
    ------
    errors.UserError
        An abbreviation, a value with an equals sign, or a missing value.
    """
    hparams_file, run_opts, overrides = sb.parse_arguments(_tidy(arguments))
    limit = run_opts.optimizer_step_limit
    if isinstance(limit, str):
        if not limit.isdecimal():
            raise UserError(
                f"--optimizer_step_limit {limit}: give a whole number"
            )
        run_opts = dataclasses.replace(
            run_opts, optimizer_step_limit=int(limit)
        )
    return hparams_file, run_opts, overrides


def _tidy(arguments):
    """Return the arguments in the form that SpeechBrain reads rightly."""
    tidy = []
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        position += 1
        if not argument.startswith("--"):
            if "=" in argument and tidy:
                raise _equals_sign(argument)
            tidy.append(argument)
            continue
        name, _, value = argument[2:].partition("=")
        _refuse_abbreviation(name)
        if "=" in value:
            raise _equals_sign(argument)
        follows = position < len(arguments) and not arguments[
            position
        ].startswith("--")
        if name in _FLAGS:
            word = value or (arguments[position] if follows else "")
            if word.lower() in _BOOLEANS:
                position += not value
            elif value:
                raise UserError(f"--{name} {value}: give True or False")
            if _BOOLEANS.get(word.lower(), True):
                tidy.append(f"--{name}")
        elif not value and not follows:
            if name not in ("skip_prep", "help"):
                raise UserError(f"--{name} has no value: write --{name} VALUE")
            tidy += ["--help"] if name == "help" else ["--skip_prep", "True"]
        else:
            tidy.append(argument)
    return tidy


def _refuse_abbreviation(name):
    if name in _OPTIONS or not name:
        return
    meant = sorted(o for o in _OPTIONS if o.startswith(name))
    if meant:
        raise UserError(
            f"--{name} is not an option: did you mean --"
            + " or --".join(meant)
            + "? (SpeechBrain would ignore the abbreviation)"
        )


def _equals_sign(argument):
    return UserError(
        f"{argument}: a value with an equals sign would be garbled on the "
        "command line: write it into the yaml file"
    )
