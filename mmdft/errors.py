"""The errors a user can mend. The command line shows them as one line, without a traceback."""


class MmdftError(Exception):
    """Something outside the code is wrong; the message names the thing and how to mend it."""


class ConfigError(MmdftError):
    """The configuration or the command line is wrong (exit status 2)."""


class DataError(MmdftError):
    """A data file, row or image cannot be used (exit status 1)."""


class ModelError(MmdftError):
    """A model folder, an architecture or a chat template cannot be used (exit status 1)."""
