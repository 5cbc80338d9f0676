"""How far along the work is: a line that redraws itself on a terminal, a rare plain line in a log."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TextIO, TypeVar

Item = TypeVar("Item")

TERMINAL_PERIOD = 0.1  # seconds between two redraws
LOG_PERIOD = 10.0  # seconds between two lines
CLEAR_LINE = "\r\x1b[K"  # to the start of the line, then erase to its end


class StatusLine:
    """One line of text that keeps changing.

    On a terminal the line is redrawn in place, at most ten times a second, and cut at the terminal's width.
    In a file or a pipe nothing can be redrawn: there a line is printed at most every ten seconds, the first
    one ten seconds after the start, so that quick work leaves no trace. `stream` is standard error if not
    given.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._period = TERMINAL_PERIOD if self._terminal else LOG_PERIOD
        self._due = clock() if self._terminal else clock() + LOG_PERIOD
        self._drawn = False  # a line without its newline stands on the terminal

    def show(self, text: str, final: bool = False) -> None:
        """Show `text`, or skip it if the last one is too recent. A final text is always printed and stays."""
        if not final and self._clock() < self._due:
            return
        self._due = self._clock() + self._period
        if self._terminal:
            # A character in the last column makes some terminals wrap.
            self._stream.write(CLEAR_LINE + text[: _columns(self._stream) - 1] + "\n" * final)
            self._drawn = not final
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Wipe a line that was not final off the terminal."""
        if self._drawn:
            self._stream.write(CLEAR_LINE)
            self._stream.flush()
            self._drawn = False


def progress(
    iterable: Iterable[Item],
    label: str,
    total: int | None = None,
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Item]:
    """Yield the items of `iterable` and show how many are done and how long the rest will take.

    The line reads `label 120/2913  8 s left`, or `label 120` if the number of items is not known; `total` is
    `len(iterable)` where that exists. The line is gone when the loop ends, however it ends.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    line = StatusLine(stream, clock)
    start = clock()
    try:
        for done, item in enumerate(iterable, 1):
            yield item
            if total is None:
                line.show(f"{label} {done}")
            else:
                left = (clock() - start) / done * (total - done)
                line.show(f"{label} {done}/{total}  {duration(left)} left")
    finally:
        line.close()


def duration(seconds: float) -> str:
    """A length of time in its largest unit.

    >>> duration(8.4), duration(150), duration(5400)
    ('8 s', '2.5 min', '1.5 h')
    """
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 3597:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _columns(stream: TextIO) -> int:
    """The width of the terminal behind `stream`; 80 where it does not tell."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
