"""What can go wrong without anybody's code being wrong, and how the commands say so."""

import functools
import sys
from collections.abc import Callable


class InputError(ValueError):
    """A file, folder or setting cannot be used as it is.

    The message names it, says what was found and what was expected. The commands print the message without
    a traceback.
    """


class NonFiniteError(ArithmeticError):
    """A number became infinite or not a number. The message says at which step, and where first."""


def says_errors(main: Callable[..., None]) -> Callable[..., None]:
    """Make a command print what its user can mend as one message, and exit with status 2."""

    @functools.wraps(main)
    def command(*arguments, **options):
        try:
            main(*arguments, **options)
        except (InputError, NonFiniteError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise SystemExit(130) from None

    return command
