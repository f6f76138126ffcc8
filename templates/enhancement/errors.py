"""The exception for what a person can mend."""


class UserError(ValueError):
    """Bad input: names the file or key, what is wrong with it, the mend.

    The scripts print its message without a traceback and exit with status 2.
    """
