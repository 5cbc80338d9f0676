"""Calling anything: it always comes back with a Call, in time, and leaves nothing behind."""

import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest

from minifcn.check.guard import PRINTED, TimeLimit, call, copied, same

SHORT = 0.2


def forever(x):
    while True:
        x = x + 0


def swallowing(x):
    """Catches all that it can; the limit is raised again until it hits the loop itself."""
    while True:
        try:
            for _ in range(100):
                x = x + 0
        except:  # noqa: E722
            pass


def recursive(x):
    return recursive(x)


def test_a_result_comes_back():
    done = call(lambda x, k: x * k, {"x": np.arange(3), "k": 2}, digest=list)
    assert done.result == [0, 2, 4]
    assert (done.raised, done.timed_out, done.changed, done.printed) == (None, False, (), "")
    assert 0 < done.seconds < 1


@pytest.mark.parametrize("function", [forever, swallowing])
def test_an_endless_loop_is_ended(function):
    began = time.perf_counter()
    done = call(function, {"x": 0}, limit=SHORT)
    assert done.timed_out and done.result is None and done.raised is None
    assert SHORT < time.perf_counter() - began < 50 * SHORT


def test_an_endless_loop_in_what_it_returns_is_ended():
    class Endless:
        def __array__(self, *args, **options):
            forever(0)

    assert call(lambda: Endless(), {}, digest=np.asarray, limit=SHORT).timed_out


def test_an_endless_loop_is_ended_in_a_thread_and_in_this_one_only():
    calls = []
    thread = threading.Thread(target=lambda: calls.append(call(forever, {"x": 0}, limit=SHORT)))
    thread.start()
    while thread.is_alive():  # this loop would be hit by a limit raised in the wrong thread
        time.sleep(0.001)
    assert calls[0].timed_out


def test_nothing_is_raised_after_the_call():
    """Calls that end just when their time is over."""
    for _ in range(30):
        call(lambda: time.sleep(0.002), {}, limit=0.002)
        for _ in range(1000):
            pass


TRACED = """
import sys
from minifcn.check.guard import call

def forever():
    while True:
        pass

call(lambda: 1, {})
call(forever, {}, limit=0.1)
sys.settrace(lambda *arguments: None)
call(lambda: 2, {})
sys.settrace(None)
print("done")
"""


def test_who_traces_python_afterwards_is_not_stuck():
    """In a process of its own, which can be ended if it is."""
    run = subprocess.run([sys.executable, "-c", TRACED], capture_output=True, text=True, timeout=60)
    assert run.stdout == "done\n", run.stderr


def test_calls_within_calls():
    outer = call(lambda: call(forever, {"x": 0}, limit=SHORT).timed_out, {}, limit=10 * SHORT)
    assert outer.result is True
    assert call(lambda: call(forever, {"x": 0}, limit=100), {}, limit=SHORT).timed_out


def raising(error):
    def function():
        raise error

    return function


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("seven"),
        SystemExit(3),
        GeneratorExit(),
        Unspeakable(),
        MemoryError(),
        StopIteration(),
        TimeLimit(),
    ],
    ids=repr,
)
def test_whatever_is_raised_is_caught(error):
    done = call(raising(error), {})
    assert done.result is None
    assert done.raised.type == type(error).__name__
    assert done.raised.code == "raise error"


def test_endless_recursion_is_caught():
    assert call(recursive, {"x": 0}).raised.type == "RecursionError"


def test_an_interrupt_is_for_the_user():
    with pytest.raises(KeyboardInterrupt):
        call(raising(KeyboardInterrupt()), {})


def test_the_line_is_the_learners_not_numpys():
    def function(x):
        y = x + 1
        return np.concatenate([x, np.ones((2, 2))]) + y

    raised = call(function, {"x": np.ones(3)}).raised
    assert raised.code == "return np.concatenate([x, np.ones((2, 2))]) + y"
    assert raised.line == function.__code__.co_firstlineno + 2


CHANGES = {
    "x": lambda x, w, k, pair: x.__imul__(2),
    "w": lambda x, w, k, pair: w.resize((3, 1), refcheck=False),
    "pair": lambda x, w, k, pair: pair[0].fill(7),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_argument_is_named_and_the_original_kept(name):
    arguments = {"x": np.array([1.0, np.nan]), "w": np.eye(2), "k": (1, 2), "pair": [np.zeros(2), "text"]}
    before = copied(arguments)
    assert call(CHANGES[name], arguments).changed == (name,)
    assert same(arguments, before)


def test_what_it_prints_and_warns_is_not_shown(capsys):
    def function():
        print("step", 1)
        warnings.warn("careful", stacklevel=1)
        np.exp(np.array([1e4]))
        sys.stdout.close()
        print("x" * 2 * PRINTED)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = call(function, {})
    assert done.raised is None
    assert done.printed.startswith("step 1\nxxx") and len(done.printed) == PRINTED
    assert capsys.readouterr() == ("", "")
    print("still here")
    assert capsys.readouterr().out == "still here\n"


def test_random_numbers_of_others_are_not_disturbed():
    np.random.seed(3)
    expected = np.random.random(2)
    np.random.seed(3)
    call(lambda: np.random.random(10), {})
    assert np.array_equal(np.random.random(2), expected)


def test_prints_of_two_threads_end_up_where_they_belong():
    stdout = sys.stdout

    def talk(word):
        for _ in range(20):
            print(word)

    done = {}
    threads = [
        threading.Thread(target=lambda word=word: done.update({word: call(lambda: talk(word), {})}))
        for word in "abc"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.stdout is stdout
    assert all(set(done[word].printed.split()) == {word} for word in "abc")
