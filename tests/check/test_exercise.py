"""Whatever a learner passes, the answer is one of three, in time; and what is right is called right."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import backward, large, toy

from minifcn import check
from minifcn.check import guard
from minifcn.check.exercises import MODULE_OF

# ---------------------------------------------------------------- not attempted


def stub(dy, x, stride):
    raise NotImplementedError


NOTHING = [None, ..., NotImplemented, stub, lambda *a: None, lambda *a: ..., lambda *a: (None, None)]


@pytest.mark.parametrize("attempt", NOTHING, ids=range(len(NOTHING)))
def test_a_stub_is_not_attempted(attempt):
    answer = toy(attempt)
    assert answer.state == "not attempted" and not answer.right
    assert answer.text.startswith("toy: not attempted yet.\n") and "check.toy.hint()" in answer.text


def test_without_a_function_it_is_not_attempted():
    assert toy().state == "not attempted"


# ---------------------------------------------------------------- wrong


class Hostile:
    """Raises at everything that one may ask it."""

    def __getattribute__(self, name):
        raise RuntimeError(name)

    __array__ = __len__ = __iter__ = __repr__ = __str__ = __eq__ = __bool__ = __hash__ = __getattribute__


class Endless:
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return Endless()


async def coroutine(dy, x, stride):
    return dy


def generator(dy, x, stride):
    yield dy


def partly(dy, x, stride):
    if stride == 1:
        return backward(dy, x, stride)


def exit_it(dy, x, stride):
    sys.exit()


def recursive(dy, x, stride):
    return recursive(dy, x, stride)


RETURNED = {
    "a number": 3,
    "a text": "dw, db",
    "too few": (np.zeros(2),),
    "too many": [1, 2, 3],
    "texts": ("dw", "db"),
    "a function": print,
    "a class": Hostile,
    "hostile": Hostile(),
    "hostile parts": (Hostile(), Hostile()),
    "endless": Endless(),
    "endless parts": (Endless(), Endless()),
    "ragged": ([[1], [1, 2]], [1]),
    "one missing": (np.zeros((2, 2, 1, 1)), None),
    "NaN": (np.full((2, 2, 1, 1), np.nan), np.array([np.inf])),
    "complex": (np.zeros((2, 2, 1, 1), complex), np.zeros(1, complex)),
    "booleans": (np.zeros((2, 2, 1, 1), bool), np.array([True])),
    "dates": (np.zeros((2, 2, 1, 1), "M8[s]"), np.zeros(1)),
    "records": (np.zeros(3, "i4, f8"), np.zeros(1)),
    "objects": (np.array([None, Hostile], object), np.zeros(1)),
    "empty": (np.zeros(0), []),
    "huge": (np.broadcast_to(1.0, (10**6, 10**6)), np.zeros(1)),
    "large integers": ([10**30], [-(10**30)]),
    "unsigned": (np.full((2, 2, 1, 1), 255, np.uint8), np.zeros(1, np.uint64)),
    "a set": {1, 2},
    "a dictionary": {"dw": 1},
    "an error": ValueError("returned, not raised"),
}
WRONG = {
    **{name: (lambda dy, x, stride, value=value: value) for name, value in RETURNED.items()},
    "a type error of its own": lambda dy, x, stride: dy + "text",
    "exit": exit_it,
    "recursion": recursive,
    "a coroutine": coroutine,
    "a generator": generator,
    "returns only sometimes": partly,
    "other shapes each time": lambda dy, x, stride: (dy.reshape(dy.shape[: dy.size % 5] + (-1,)), dy),
    "takes less": lambda dy, x: dy,
    "takes more": lambda dy, x, stride, padding: dy,
    "takes names only": lambda *, dy, x, stride: dy,
    "no function": np.zeros(3),
    "a hostile object": Hostile(),
    "a class of its own": Hostile,
    "a builtin": max,
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.filterwarnings("error::RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_whatever_comes_is_wrong_and_shown(name, monkeypatch):
    monkeypatch.setattr(guard, "LIMIT", 0.5)
    answer = toy(WRONG[name])
    assert answer.state == "wrong" and not answer.right
    assert answer.text.startswith("toy: ") and repr(answer) == answer.text
    assert answer._repr_html_().startswith("<pre")
    assert "Traceback" not in answer.text and "minifcn" not in answer.text


def test_the_arguments_are_named_when_they_do_not_fit():
    text = toy(lambda dy, x: dy).text
    assert text == "toy: It is called with the arguments (dy, x, stride); yours takes (dy, x)."


def test_an_exception_is_shown_with_the_learners_line():
    def function(dy, x, stride):
        total = dy.sum()
        return total + x.shape[7]

    text = toy(function).text
    line = function.__code__.co_firstlineno + 2
    assert (
        f"It raises IndexError: tuple index out of range\n    in line {line}: return total + x.shape[7]"
        in text
    )


def test_an_endless_loop_ends_the_check(monkeypatch):
    calls = []

    def function(dy, x, stride):
        calls.append(1)
        while True:
            pass

    monkeypatch.setattr(guard, "LIMIT", 0.3)
    text = toy(function).text
    assert "It had not returned after 0 seconds. Is there a loop that does not end?" in text
    assert len(calls) == 1


def test_changed_arguments_are_named():
    def function(dy, x, stride):
        result = backward(dy, x, stride)
        x *= 0.5
        return result

    answer = toy(function)
    says = "It changes x, which the caller may still need. Work on a copy: x = x.copy()."
    assert answer.diagnosis == (says,) and answer.text.count(says) == 1


def test_a_changed_argument_does_not_spoil_the_expected_numbers():
    def function(dy, x, stride):
        dw, db = backward(dy, x, stride)
        x[:] = dy[:] = 1e9
        return -dw, db

    assert toy(function).diagnosis[0] == "The sign of dw is wrong."


def test_the_smallest_case_is_small_and_shown_whole():
    def function(dy, x, stride):
        dw, db = backward(dy, x, stride)
        dw[dw == 3] *= 1 + (dy > 2).any()
        dw[0, 0] /= 1 + (dy > 2).any()
        return dw, db

    text = toy(function).text
    assert (
        """The smallest case:
    dy, shape (1, 1, 1, 1):
        3
    x, shape (1, 2, 2, 1):
        1  1
        1  1
    stride = 1

dw: 3 of 4 numbers are wrong.
    expected      got  (* = wrong)
    3  3          3   6*
    3  3          6*  6*
"""
        in text
    )


def test_only_the_print_of_the_smallest_case_is_shown(capsys):
    def function(dy, x, stride):
        print("shape", dy.shape)
        return -backward(dy, x, stride)[0], dy.sum(axis=(0, 1, 2))

    assert "It printed:\n    shape (1, 1, 1, 1)\n" in toy(function).text
    assert capsys.readouterr() == ("", "")


# ---------------------------------------------------------------- right


LAYOUTS = {
    "contiguous": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "reversed": lambda array: array[::-1].copy()[::-1],
    "every second": lambda array: np.repeat(array, 2, axis=0)[::2],
    "broadcast": lambda array: np.broadcast_to(array, (2, *array.shape))[1],
    "masked": np.ma.array,
    "list": lambda array: array.tolist(),
    "object": lambda array: array.astype(object),
}


@settings(max_examples=10)
@given(
    layouts=st.tuples(*[st.sampled_from(sorted(LAYOUTS))] * 2),
    dtypes=st.tuples(*[st.sampled_from([np.float32, np.float64, np.longdouble, np.int16])] * 2),
    box=st.sampled_from([tuple, list, lambda parts: dict(zip(("db", "dw"), parts[::-1]))]),
)
def test_the_right_answer_is_right_in_any_layout_and_type(layouts, dtypes, box):
    def function(dy, x, stride):
        parts = backward(dy, x, stride)
        if any(np.any(part != part.round()) for part in parts):  # in the sample
            parts = [part.astype(np.float32) for part in parts]
        else:
            parts = [part.astype(dtype) for part, dtype in zip(parts, dtypes)]
        return box([LAYOUTS[layout](part) for layout, part in zip(layouts, parts)])

    answer = toy(function)
    assert answer.right, answer


def einsum(dy, x, stride):
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("nijo,nijcuv->uvco", dy, windows), np.einsum("nijo->o", dy)


class Functions:
    def __call__(self, dy, x, stride):
        return backward(dy, x, stride)

    def method(self, dy, x, stride):
        return backward(dy, x, stride)


def noisy(dy, x, stride, *more, eps=1e-5):
    dy, x = dy + 0, x.view()
    np.random.seed(1)
    dy *= 1
    print("fine")
    np.log(np.zeros(1)) / np.zeros(1)
    return backward(dy, x, stride)


ALSO_RIGHT = {"einsum": einsum, "object": Functions(), "method": Functions().method, "noisy": noisy}


@pytest.mark.parametrize("name", ALSO_RIGHT)
def test_what_is_right_is_called_right(name):
    right, speed = toy(ALSO_RIGHT[name]).text.splitlines()
    assert right == "toy: right, in all 101 cases, up to dy (2, 6, 6, 3)."
    assert speed.startswith("On dy (2, 6, 6, 3) and x (2, 7, 7, 2), yours takes ")
    assert ", the library's " in speed


def test_a_function_that_is_slow_on_the_sample_is_right(monkeypatch):
    monkeypatch.setattr(guard, "LIMIT", 0.5)

    def function(dy, x, stride):
        while dy.shape == large()["dy"].shape:
            pass
        return backward(dy, x, stride)

    answer = toy(function)
    assert answer.right and "yours takes more than 0.5" in answer.text


def test_a_function_that_is_wrong_only_on_the_sample_is_wrong():
    answer = toy(lambda dy, x, stride: backward(dy, x.round() if x.size > 150 else x, stride))
    assert answer.state == "wrong" and "in 1 of 101 cases" in answer.text


def test_in_a_thread():
    answers = []
    thread = threading.Thread(target=lambda: answers.extend([toy(backward), toy(einsum), toy(stub)]))
    thread.start()
    thread.join()
    assert [answer.state for answer in answers] == ["right", "right", "not attempted"]


def test_cases_of_the_exercise_are_left_alone():
    toy(stub)
    before = [guard.copied(case) for case, _ in toy._drawn]

    def function(dy, x, stride):
        dy[:], x[:] = 7, 7
        return dy, x

    toy(function)
    assert all(guard.same(case, old) for (case, _), old in zip(toy._drawn, before))
    assert guard.same(toy.sample, large())


# ---------------------------------------------------------------- help, and all exercises


def test_hints_come_one_after_the_other_and_the_last_stays():
    toy._hints_given = 0
    assert [repr(toy.hint())[:11] for _ in range(3)] == ["Hint 1 of 2", "Hint 2 of 2", "Hint 2 of 2"]
    assert toy.hint()._repr_markdown_() == "**Hint 2 of 2.** Which products does dw[u, v] take part in?"


def test_the_solution_is_the_source():
    solution = toy.solution()
    assert repr(solution).startswith("# check/toy.py\n\ndef backward(dy, x, stride):\n")
    assert solution._repr_markdown_().startswith(
        "`check/toy.py`\n\n```python\ndef backward(dy, x, stride):\n"
    )


@pytest.mark.parametrize("name", MODULE_OF)
def test_every_exercise_is_complete(name):
    exercise = getattr(check, name)
    assert exercise.name == name and exercise.hints and exercise.mistakes
    assert "def " in repr(exercise.solution())
    assert all(mistake.see.startswith("lesson ") for mistake in exercise.mistakes)
    assert name in dir(check)


def test_unknown_names_are_no_exercises():
    with pytest.raises(AttributeError, match=r"has no exercise 'conv3d'; it has one_hot, .*dice"):
        check.conv3d  # noqa: B018


def test_importing_the_checker_needs_no_hypothesis_and_an_exercise_says_what_to_install():
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import minifcn.check as check, numpy as np\n"
        "assert 'matplotlib' not in sys.modules\n"
        "print(check.gradients(lambda x: (x * x, x), lambda dy, x: 2 * dy * x, {'x': np.ones(2)}).state)\n"
        "try: check.softmax\n"
        "except ImportError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        run.stdout
        == 'right\nThe exercises draw their cases with hypothesis: pip install "minifcn[lessons]"\n'
    )
