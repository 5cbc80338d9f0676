"""Optimisers: against the update rules written plainly and PyTorch; names, state, errors. Schedules."""

import functools
import math
from fnmatch import fnmatchcase

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.optim import SCHEDULES, SGD, Adam, constant, cosine, one_cycle, poly, step_decay

OPTIMIZERS = {
    "SGD": functools.partial(SGD, lr=0.05),
    "SGD momentum": functools.partial(SGD, lr=0.05, momentum=0.9, weight_decay=0.01),
    "Adam": functools.partial(Adam, lr=0.05, weight_decay=0.01),
}
makers = st.sampled_from(list(OPTIMIZERS.values()))
every_optimizer = pytest.mark.parametrize("make", list(OPTIMIZERS.values()), ids=OPTIMIZERS)
seeds = st.integers(0, 2**32 - 1)
SHAPES = {"conv.weight": (3, 3, 2, 4), "conv.bias": (4,), "score.weight": (1, 1, 4, 2), "score.bias": (2,)}


def draw_like(seed, dtype=np.float64, shapes=SHAPES):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def copies(arrays):
    return {name: array.copy() for name, array in arrays.items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


# The update rules, number by number.


def plain_sgd(w, grads, lr, momentum, weight_decay):
    v = 0.0
    for g in grads:
        v = momentum * v + g + weight_decay * w
        w = w - lr * v
    return w


def plain_adam(w, grads, lr, betas, eps, weight_decay):
    m = v = 0.0
    for t, g in enumerate(grads, start=1):
        g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        w = w - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    return w


numbers = st.floats(0, 0.95)


@given(seeds, st.integers(1, 6), st.floats(0.001, 1), numbers, st.just(0.0) | numbers)
def test_sgd(seed, steps, lr, momentum, weight_decay):
    params = draw_like(seed)
    start, grads = copies(params), [draw_like(seed + 1 + i) for i in range(steps)]
    optimizer = SGD(params, lr, momentum, weight_decay)
    for g in grads:
        optimizer.step(g)
    for name, w in start.items():
        expected = plain_sgd(w, [g[name] for g in grads], lr, momentum, weight_decay)
        np.testing.assert_allclose(params[name], expected, rtol=1e-10, atol=1e-12)


@given(
    seeds, st.integers(1, 6), st.floats(0.001, 1), st.tuples(numbers, numbers), st.floats(1e-8, 0.5), numbers
)
def test_adam(seed, steps, lr, betas, eps, weight_decay):
    params = draw_like(seed)
    start, grads = copies(params), [draw_like(seed + 1 + i) for i in range(steps)]
    optimizer = Adam(params, lr, betas, eps, weight_decay)
    for g in grads:
        optimizer.step(g)
    for name, w in start.items():
        expected = plain_adam(w, [g[name] for g in grads], lr, betas, eps, weight_decay)
        np.testing.assert_allclose(params[name], expected, rtol=1e-10, atol=1e-12)


@given(seeds, makers, st.lists(st.floats(0.001, 1), min_size=2, max_size=5))
def test_the_rate_of_a_step_overrides(seed, make, schedule):
    params = draw_like(seed)
    overridden, plain = copies(params), copies(params)
    optimizer, other = make(overridden, lr=3.0), make(plain, lr=schedule[0])
    for i, lr in enumerate(schedule):
        grads = draw_like(seed + 1 + i)
        optimizer.step(grads, lr=lr)
        other.lr = lr
        other.step(grads)
    assert_same(overridden, plain)
    optimizer.step(draw_like(seed), lr=0)
    assert_same(overridden, plain)
    optimizer.step(draw_like(seed))  # 3.0 again
    assert not np.array_equal(overridden["conv.bias"], plain["conv.bias"])


@every_optimizer
def test_an_array_in_pieces_gives_the_same_bits_as_the_whole(make):
    def in_pieces(array):
        return dict(zip("abcd", np.split(array, [7, 1000, 5001]), strict=True))

    whole = draw_like(5, np.float32, {"w": (20_000,)})
    before = whole["w"].copy()
    pieces = in_pieces(before.copy())
    optimizers = make(whole), make(pieces)
    for i in range(3):
        grads = draw_like(6 + i, np.float32, {"w": (20_000,)})
        optimizers[0].step(grads)
        optimizers[1].step(in_pieces(grads["w"]))
    np.testing.assert_array_equal(np.concatenate(list(pieces.values())), whole["w"])
    assert (whole["w"] != before).all()


@given(seeds, makers, st.sampled_from([np.float32, np.float64]))
def test_updates_in_place_keep_the_dtype_and_leave_the_gradients(seed, make, dtype):
    params = draw_like(seed, dtype)
    views, before = dict(params), copies(params)
    optimizer = make(params)
    grads = draw_like(seed + 1, dtype)
    grads_before = copies(grads)
    optimizer.step(grads)
    assert_same(grads, grads_before)
    for name, view in views.items():
        assert params[name] is view
        assert view.dtype == dtype
        assert not np.array_equal(view, before[name])
    assert all(array.dtype == dtype for name, array in optimizer.state().items() if name != "step")


@every_optimizer
def test_gradients_of_any_memory_layout(make):
    params, other = draw_like(0), draw_like(0)
    grads = draw_like(1)
    make(params).step(grads)
    make(other).step({name: np.asfortranarray(g) for name, g in grads.items()})
    assert_same(params, other)


@every_optimizer
def test_float32_follows_float64(make):
    exact, single = draw_like(0), draw_like(0, np.float32)
    optimizers = make(exact), make(single)
    for i in range(10):
        for optimizer, dtype in zip(optimizers, (np.float64, np.float32), strict=True):
            optimizer.step(draw_like(1 + i, dtype))
    for name, w in exact.items():
        np.testing.assert_allclose(single[name], w, rtol=1e-4, atol=1e-5)


# Multipliers by name.

multipliers = st.dictionaries(
    st.sampled_from(["*", "*.bias", "*.weight", "conv.*", "score.bias", "c???.weight", "[cs]*"]),
    st.sampled_from([0.0, 0.5, 1.0, 2.0]),
)


def first_match(patterns, name):
    return next((value for pattern, value in patterns.items() if fnmatchcase(name, pattern)), 1.0)


@given(seeds, makers, multipliers, multipliers)
def test_multipliers_are_a_rate_and_a_decay_of_its_own(seed, make, rates, decays):
    params = draw_like(seed)
    expected = copies(params)
    optimizer = make(params, lr=0.1, weight_decay=0.2, rates=rates, decays=decays)
    alone = {
        name: make({name: w}, lr=0.1 * first_match(rates, name), weight_decay=0.2 * first_match(decays, name))
        for name, w in expected.items()
    }
    for i in range(3):
        grads = draw_like(seed + 1 + i)
        optimizer.step(grads)
        for name, other in alone.items():
            other.step({name: grads[name]})
    assert_same(params, expected)


def test_the_first_pattern_that_matches_holds():
    params = {name: np.ones(shape) for name, shape in SHAPES.items()}
    grads = {name: np.ones(shape) for name, shape in SHAPES.items()}
    SGD(params, lr=0.1, rates={"score.bias": 3, "*.bias": 2}).step(grads)
    moved = {name: 1 - w.flat[0] for name, w in params.items()}
    assert moved == pytest.approx(
        {"conv.weight": 0.1, "conv.bias": 0.2, "score.weight": 0.1, "score.bias": 0.3}
    )


@every_optimizer
def test_rate_0_freezes_and_needs_no_gradient(make):
    params = draw_like(0)
    before = copies(params)
    optimizer = make(params, rates={"conv.*": 0})
    assert not any(name.startswith("conv") for name in optimizer.state())
    optimizer.step({name: g for name, g in draw_like(1).items() if name.startswith("score")})
    optimizer.step(draw_like(2))
    for name, w in params.items():
        assert np.array_equal(w, before[name]) == name.startswith("conv")


# State.


@given(seeds, makers, st.integers(0, 3), st.sampled_from([np.float32, np.float64]))
def test_resumed_is_the_same_as_never_stopped(seed, make, steps, dtype):
    params = draw_like(seed, dtype)
    optimizer = make(params)
    for i in range(steps):
        optimizer.step(draw_like(seed + 1 + i, dtype))
    state = optimizer.state()
    assert state["step"] == steps and np.issubdtype(state["step"].dtype, np.integer)

    resumed = copies(params)
    other = make(resumed)
    other.step(draw_like(9, dtype))  # whatever it remembers is replaced
    for name, w in params.items():
        resumed[name][...] = w
    other.load_state(state)
    assert_same(other.state(), state)
    for i in range(3):
        grads = draw_like(seed + 100 + i, dtype)
        optimizer.step(grads)
        other.step(grads)
    assert_same(resumed, params)
    assert_same(other.state(), optimizer.state())


@pytest.mark.parametrize("name", ["SGD momentum", "Adam"])
def test_a_state_is_a_copy(name):
    optimizer = OPTIMIZERS[name](draw_like(0))
    optimizer.step(draw_like(1))
    state = optimizer.state()
    before = copies(state)
    optimizer.step(draw_like(2))
    assert_same(state, before)
    assert not np.array_equal(optimizer.state()["step"], before["step"])
    optimizer.load_state(state)
    optimizer.step(draw_like(2))
    assert_same(state, before)


def test_names_in_the_state():
    params = {"conv1_1.weight": np.ones(2), "conv1_1.bias": np.ones(3)}
    assert set(SGD(params, 0.1).state()) == {"step"}
    momentum = SGD(params, 0.1, momentum=0.9).state()
    assert set(momentum) == {"step", "conv1_1.weight.momentum", "conv1_1.bias.momentum"}
    moments = {
        f"conv1_1.{name}.{moment}_moment" for name in ("weight", "bias") for moment in ("first", "second")
    }
    assert set(Adam(params).state()) == {"step"} | moments


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("w.momentum"), r"missing \['w.momentum'\], unknown \[\]"),
        (lambda s: s.pop("step"), r"missing \['step'\]"),
        (lambda s: s.update(extra=np.ones(1)), r"missing \[\], unknown \['extra'\]"),
        (lambda s: s.update({"w.momentum": np.ones(3)}), r"w.momentum .* \(2,\), found float64 \(3,\)"),
        (
            lambda s: s.update({"w.momentum": np.ones(2, np.float32)}),
            r"w.momentum .* float64 \(2,\), found float32",
        ),
        (lambda s: s.update(step=np.array(1.5)), "step must be int64 .* found float64"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    optimizer = SGD({"w": np.ones(2), "b": np.ones(1)}, 0.1, momentum=0.9)
    optimizer.step({"w": np.ones(2), "b": np.ones(1)})
    before = optimizer.state()
    state = {name: array + 1 for name, array in before.items()}
    state["step"] = np.array(5)
    change(state)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state(state)
    assert_same(optimizer.state(), before)


# Errors.


@pytest.mark.parametrize(
    ("grads", "message"),
    [
        ({"w": np.ones(2)}, r"missing \['b'\], unknown \[\]"),
        ({"w": np.ones(2), "b": np.ones(1), "c": np.ones(1)}, r"missing \[\], unknown \['c'\]"),
        ({"w": np.ones((2, 1)), "b": np.ones(1)}, r"gradient of w must be \(2,\), found \(2, 1\)"),
        ({"w": np.ones(2), "b": np.ones(3)}, r"gradient of b must be \(1,\), found \(3,\)"),
    ],
)
@every_optimizer
def test_gradients_that_do_not_fit_change_nothing(make, grads, message):
    params = {"w": np.ones(2), "b": np.ones(1)}
    optimizer = make(params)
    before = optimizer.state()
    with pytest.raises(ValueError, match=message):
        optimizer.step(grads)
    assert_same(params, {"w": np.ones(2), "b": np.ones(1)})
    assert_same(optimizer.state(), before)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (SGD, {"lr": -0.1}, "lr must be at least 0 .* found -0.1"),
        (SGD, {"lr": math.nan}, "lr .* found nan"),
        (SGD, {"lr": 0.1, "momentum": 1.0}, "momentum must be at least 0 and below 1.0, found 1.0"),
        (SGD, {"lr": 0.1, "weight_decay": -1}, "weight_decay .* found -1"),
        (Adam, {"lr": math.inf}, "lr .* found inf"),
        (Adam, {"betas": (0.9, 1.0)}, "betas .* found 1.0"),
        (Adam, {"betas": (-0.1, 0.9)}, "betas .* found -0.1"),
        (Adam, {"eps": -1e-8}, "eps .* found -1e-08"),
        (
            SGD,
            {"lr": 0.1, "rates": {"*.bais": 2}},
            r"rates: '\*.bais' matches no parameter; there are fc.weight",
        ),
        (SGD, {"lr": 0.1, "decays": {"fc.weight": 1, "FC.*": 0}}, r"decays: 'FC.\*' matches no parameter"),
        (SGD, {"lr": 0.1, "rates": {"*": -1}}, r"rates\['\*'\] .* found -1"),
    ],
)
def test_bad_settings(make, options, message):
    with pytest.raises(ValueError, match=message):
        make({"fc.weight": np.ones(2)}, **options)


def test_bad_rate_of_a_step():
    with pytest.raises(ValueError, match=r"lr .* found -1"):
        SGD({"w": np.ones(2)}, 0.1).step({"w": np.ones(2)}, lr=-1)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"w": np.ones(2, int)}, TypeError, "one type, float32 or float64; found int64"),
        ({"w": np.ones(2), "b": np.ones(2, np.float32)}, TypeError, "found float32, float64"),
        ({}, TypeError, "found none"),
        ({"w": np.ones((4, 6))[:, ::2]}, ValueError, "w must be contiguous, found shape"),
    ],
)
def test_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        SGD(params, 0.1)


# Schedules.

lrs = st.floats(1e-6, 10)
lengths = st.integers(1, 200)


@pytest.mark.parametrize("name", SCHEDULES)
@given(lr=lrs, steps=lengths)
def test_every_schedule_is_positive_and_at_most_its_rate(name, lr, steps):
    rates = [SCHEDULES[name](lr, steps)(step) for step in range(steps)]
    assert all(0 < rate <= lr * (1 + 1e-12) for rate in rates)
    assert max(rates) > 0.5 * lr
    if name != "one-cycle":
        assert rates[0] == lr
        assert rates == sorted(rates, reverse=True)


@given(lrs, lengths, lrs)
def test_schedules_are_proportional_to_the_rate(lr, steps, factor):
    for make in SCHEDULES.values():
        for step in (0, steps // 3, steps // 2, steps - 1):
            assert make(factor * lr, steps)(step) == pytest.approx(factor * make(lr, steps)(step), rel=1e-9)


@given(lrs, lengths, st.floats(0.1, 3))
def test_poly_and_cosine_by_their_formulas_and_0_after_the_end(lr, steps, power):
    for step in range(steps):
        t = step / steps
        assert poly(lr, steps, power)(step) == pytest.approx(lr * (1 - t) ** power)
        assert cosine(lr, steps)(step) == pytest.approx(lr * math.cos(math.pi * t / 2) ** 2)
    for step in (steps, steps + 1, 5 * steps):
        assert poly(lr, steps, power)(step) == cosine(lr, steps)(step) == 0


@given(lrs, st.integers(10, 200), st.floats(0.2, 0.8), st.floats(0.01, 0.5), st.floats(1e-4, 0.5))
def test_one_cycle_goes_up_then_down(lr, steps, warmup, start, end):
    schedule = one_cycle(lr, steps, warmup, start, end)
    rates = [schedule(step) for step in range(steps)]
    peak = warmup * steps - 1
    assert rates[0] == pytest.approx(lr * start)
    assert rates[-1] == pytest.approx(lr * start * end, abs=1e-12 * lr)
    rising, falling = rates[: math.floor(peak) + 1], rates[math.ceil(peak) :]
    assert rising == sorted(rising) and falling == sorted(falling, reverse=True)
    assert schedule(peak) == pytest.approx(lr)
    assert schedule(peak / 2) == pytest.approx(lr * (1 + start) / 2)  # half way up
    assert schedule((peak + steps - 1) / 2) == pytest.approx(lr * (1 + start * end) / 2)  # half way down
    assert schedule(2 * steps) == rates[-1]


def test_one_cycle_defaults():
    schedule = one_cycle(1.0, steps=100)
    assert schedule(0) == pytest.approx(1 / 25)
    assert schedule(29) == pytest.approx(1)
    assert schedule(99) == pytest.approx(1 / 25 / 1e4)


def test_worked_schedules():
    assert [constant(0.3)(step) for step in (0, 7, 10**9)] == [0.3] * 3
    assert [step_decay(8.0, every=3, factor=0.5)(step) for step in range(8)] == [8, 8, 8, 4, 4, 4, 2, 2]
    assert [poly(1.0, steps=100)(step) for step in (0, 50)] == pytest.approx([1, 0.5**0.9])
    assert [cosine(2.0, steps=4)(step) for step in range(5)] == pytest.approx(
        [2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5, 0]
    )
    stair = SCHEDULES["step"](1.0, 10)
    assert [stair(step) for step in range(10)] == pytest.approx([1] * 4 + [0.1] * 4 + [0.01] * 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: constant(-1), "lr .* found -1"),
        (lambda: step_decay(0.1, every=0), "every must be at least 1, found 0"),
        (lambda: step_decay(0.1, every=2, factor=-1), "factor .* found -1"),
        (lambda: poly(0.1, steps=0), "steps must be at least 1, found 0"),
        (lambda: poly(0.1, steps=5, power=-0.5), "power .* found -0.5"),
        (lambda: cosine(math.nan, steps=5), "lr .* found nan"),
        (lambda: cosine(0.1, steps=-3), "steps must be at least 1, found -3"),
        (lambda: one_cycle(0.1, steps=5, warmup=1.0), "warmup .* below 1.0, found 1.0"),
        (lambda: one_cycle(0.1, steps=5, start=-1), "start .* found -1"),
        (lambda: one_cycle(0.1, steps=5, end=-1), "end .* found -1"),
    ],
)
def test_bad_schedules(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# PyTorch.


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle")


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("ours", "name", "options"),
    [
        (SGD, "SGD", {"lr": 0.1}),
        (SGD, "SGD", {"lr": 0.1, "momentum": 0.9}),
        (SGD, "SGD", {"lr": 0.1, "momentum": 0.99, "weight_decay": 0.05}),
        (Adam, "Adam", {}),
        (Adam, "Adam", {"lr": 0.03, "betas": (0.7, 0.95), "eps": 1e-3, "weight_decay": 0.05}),
    ],
)
def test_twenty_steps_are_pytorchs(torch, ours, name, options):
    params = draw_like(0)
    theirs = {name: torch.tensor(w) for name, w in params.items()}
    optimizer, oracle = ours(params, **options), getattr(torch.optim, name)(theirs.values(), **options)
    for step in range(20):
        lr = optimizer.lr * (1 + step % 3)
        grads = draw_like(1 + step)
        optimizer.step(grads, lr=lr)
        oracle.param_groups[0]["lr"] = lr
        for name, w in theirs.items():
            w.grad = torch.tensor(grads[name])
        oracle.step()
    for name, w in theirs.items():
        np.testing.assert_allclose(params[name], w.numpy(), rtol=1e-12, atol=1e-12)


def pytorch_rates(torch, steps, make):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.7)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.oracle
@given(steps=st.integers(10, 80), warmup=st.floats(0.15, 0.9))
def test_one_cycle_is_pytorchs(torch, steps, warmup):
    def make(optimizer, **options):
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 0.7, total_steps=steps + 1, cycle_momentum=False, **options
        )

    ours = [one_cycle(0.7, steps + 1)(step) for step in range(steps)]
    np.testing.assert_allclose(ours, pytorch_rates(torch, steps, make), rtol=1e-10)
    chosen = [one_cycle(0.7, steps + 1, warmup, 1 / 8, 1e-2)(step) for step in range(steps)]
    options = {"pct_start": warmup, "div_factor": 8, "final_div_factor": 100}
    np.testing.assert_allclose(
        chosen, pytorch_rates(torch, steps, functools.partial(make, **options)), rtol=1e-10
    )


@pytest.mark.oracle
@given(steps=st.integers(1, 80))
def test_cosine_is_pytorchs(torch, steps):
    theirs = pytorch_rates(
        torch, steps, lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    )
    np.testing.assert_allclose(
        [cosine(0.7, steps)(step) for step in range(steps)], theirs, rtol=1e-9, atol=1e-12
    )
