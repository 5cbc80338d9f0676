"""Files that are whole or not there: written beside their place first, then moved in. And folders."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from minifcn.errors import InputError


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A binary file to write; when the block ends without an error it becomes `path`, all at once.

    Whatever happens before — an exception, a full disk, a killed process, a power cut — `path` is as it was.
    Raises OSError, naming `path`, if it cannot be written.
    """
    path = Path(path)
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise type(error)(error.errno, f"cannot write: {error.strerror}", str(path)) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise type(error)(error.errno, f"cannot write: {error.strerror}", str(path)) from None
        raise


def make_folder(path: str | os.PathLike) -> Path:
    """The folder, made if need be. Raises InputError if that cannot be."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"{path} is a file, expected a folder") from None
    except OSError as error:
        raise InputError(f"{path}: cannot make this folder: {error.strerror}") from None
    return path


def _umask() -> int:
    """The permissions that new files of this process go without; mkstemp makes files private."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
