"""What is written, when, to a terminal and to a log, by an injected clock."""

import io
import os

import pytest

from minifcn.progress import StatusLine, duration, progress


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


CLEAR = "\r\x1b[K"


def count(n, clock, seconds):
    """Numbers that take some seconds each to appear."""
    for i in range(n):
        clock.now += seconds
        yield i


def test_the_items_pass_through_unchanged_and_in_order():
    items = [object() for _ in range(7)]
    assert list(progress(items, "work", stream=Terminal())) == items
    assert list(progress(iter(items), "work", stream=io.StringIO())) == items


def test_a_terminal_line_tells_how_many_are_done_and_the_time_left():
    stream, clock = Terminal(), Clock()
    list(progress(count(4, clock, 2.0), "reading", total=4, stream=stream, clock=clock))
    expected = [
        "reading 1/4  6 s left",
        "reading 2/4  4 s left",
        "reading 3/4  2 s left",
        "reading 4/4  0 s left",
    ]
    assert stream.getvalue() == "".join(CLEAR + line for line in expected) + CLEAR


def test_the_total_is_the_length_where_there_is_one():
    stream = Terminal()
    list(progress([1, 2, 3], "x", stream=stream, clock=Clock()))
    assert "x 1/3  " in stream.getvalue()
    stream = Terminal()
    list(progress(iter([1, 2, 3]), "x", stream=stream, clock=Clock()))
    assert stream.getvalue() == f"{CLEAR}x 1{CLEAR}"


def test_a_terminal_is_redrawn_at_most_ten_times_a_second():
    stream, clock = Terminal(), Clock()
    list(progress(count(1000, clock, 0.01), "x", total=1000, stream=stream, clock=clock))  # ten seconds
    redraws = stream.getvalue().count("x ")
    assert 80 <= redraws <= 101


def test_a_log_gets_nothing_from_quick_work_and_a_line_every_ten_seconds_from_long_work():
    stream, clock = io.StringIO(), Clock()
    list(progress(count(99, clock, 0.1), "x", total=99, stream=stream, clock=clock))
    assert stream.getvalue() == ""
    list(progress(count(35, clock, 1.0), "x", total=35, stream=stream, clock=clock))
    assert stream.getvalue() == "x 10/35  25 s left\nx 20/35  15 s left\nx 30/35  5 s left\n"


@pytest.mark.parametrize("leave", ["break", "raise"])
def test_the_line_is_wiped_when_the_loop_is_left_early(leave):
    stream = Terminal()
    items = progress([1, 2, 3], "x", stream=stream, clock=Clock())
    next(items)
    next(items)
    assert not stream.getvalue().endswith(CLEAR)
    if leave == "break":
        items.close()
    else:
        with pytest.raises(KeyError):
            items.throw(KeyError())
    assert stream.getvalue().endswith(CLEAR)


def test_the_first_status_is_drawn_at_once_on_a_terminal():
    stream = Terminal()
    StatusLine(stream, Clock()).show("compiling")
    assert stream.getvalue() == CLEAR + "compiling"


def test_a_final_text_is_always_printed_and_stays():
    for stream, prefix in ((Terminal(), CLEAR), (io.StringIO(), "")):
        line = StatusLine(stream, Clock())
        line.show("one", final=True)
        line.show("too soon")
        line.show("two", final=True)
        line.close()
        assert stream.getvalue() == f"{prefix}one\n{prefix}two\n"


def test_a_skipped_text_does_not_put_off_the_next():
    stream, clock = io.StringIO(), Clock()
    line = StatusLine(stream, clock)
    for second in range(25):
        clock.now = 1000.0 + second
        line.show(f"at {second}")
    assert stream.getvalue() == "at 10\nat 20\n"


def test_a_long_line_is_cut_below_the_width_of_the_terminal(monkeypatch):
    stream = Terminal()
    StatusLine(stream, Clock()).show("x" * 200)
    assert stream.getvalue() == CLEAR + "x" * 79  # a terminal that does not tell counts as 80 wide

    stream = Terminal()
    stream.fileno = lambda: 2
    monkeypatch.setattr(os, "get_terminal_size", lambda fd: os.terminal_size((30, 24)) if fd == 2 else None)
    StatusLine(stream, Clock()).show("x" * 200)
    assert stream.getvalue() == CLEAR + "x" * 29


def test_close_writes_nothing_if_nothing_is_shown():
    stream = Terminal()
    line = StatusLine(stream, Clock())
    line.close()
    assert stream.getvalue() == ""
    line.show("x")
    line.close()
    line.close()
    assert stream.getvalue() == f"{CLEAR}x{CLEAR}"


def test_the_default_stream_is_the_standard_error_of_the_moment(capsys):
    StatusLine(clock=Clock()).show("here", final=True)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "here\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1.0 min"), (90, "1.5 min"), (3600, "1.0 h"), (9000, "2.5 h")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
