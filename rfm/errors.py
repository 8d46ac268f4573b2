"""The one way a command refuses to start."""


class UsageError(Exception):
    """The command cannot do what it was asked: one line that names the option and the cure (exit code 2)."""
