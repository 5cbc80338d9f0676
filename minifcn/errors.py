"""What is wrong with something the user gave: a file, a folder, a setting."""


class InputError(ValueError):
    """A file, folder or setting cannot be used as it is.

    The message names it, says what was found and what was expected. The commands print the message without
    a traceback.
    """
