"""What is wrong with a file is said in one way, whoever finds it."""

import contextlib
import os
from collections.abc import Iterator

from minifcn.errors import InputError


@contextlib.contextmanager
def naming(path: str | os.PathLike, kind: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into an InputError that names the file.

    A damaged file can make a reader fail in almost any way: a length that is not there, a name that is not
    text, a size that no memory holds. To its user all of these are one thing.
    """
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:
        raise InputError(
            f"{path} cannot be read as {kind} weights: {error or type(error).__name__}"
        ) from None
