"""Optimisers, which move the parameters against the gradient, and schedules of the learning rate.

The update rules are PyTorch's. A parameter's own learning rate and weight decay are the common ones times a
multiplier that its name picks: `rates={"*.bias": 2}, decays={"*.bias": 0}` is the rule of the original FCN
(Long, Shelhamer and Darrell, 2015). A rate of 0 freezes a parameter.
"""

import math
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

import numpy as np

from minifcn.kernels import updates


class Optimizer:
    """What SGD and Adam share: the parameters, their multipliers, the buffers and a step over all of them.

    `params` maps names to contiguous arrays of one floating dtype; they are updated in place. `rates` and
    `decays` map patterns of names (`*`, `?`, `[...]`) to multipliers of the learning rate and of the weight
    decay. The first pattern that matches holds; where none does, the multiplier is 1.

    Raises ValueError for a pattern that matches no parameter, a number out of range or an array that is not
    contiguous, TypeError for dtypes.
    """

    buffer_names: tuple[str, ...] = ()  # per parameter and of its shape: what the update rule remembers

    def __init__(
        self,
        params: Mapping[str, np.ndarray],
        lr: float,
        weight_decay: float,
        rates: Mapping[str, float] | None,
        decays: Mapping[str, float] | None,
    ):
        self.params = dict(params)
        self.lr = _in_range("lr", lr)
        self.weight_decay = _in_range("weight_decay", weight_decay)
        dtypes = {w.dtype for w in self.params.values()}
        if len(dtypes) != 1 or not dtypes <= {np.dtype(np.float32), np.dtype(np.float64)}:
            found = ", ".join(sorted(map(str, dtypes)))
            raise TypeError(f"params must be arrays of one type, float32 or float64; found {found or 'none'}")
        for name, w in self.params.items():
            if not w.flags.c_contiguous:
                raise ValueError(f"{name} must be contiguous, found shape {w.shape}, strides {w.strides}")

        self.rates = _multipliers("rates", rates or {}, self.params)
        self.decays = _multipliers("decays", decays or {}, self.params)
        self.trained = [name for name, rate in self.rates.items() if rate > 0]
        self.steps = 0
        self.buffers = {
            f"{name}.{buffer}": np.zeros_like(self.params[name])
            for name in self.trained
            for buffer in self.buffer_names
        }
        self._rates = np.array([self.rates[name] for name in self.trained])
        self._decays = self.weight_decay * np.array([self.decays[name] for name in self.trained])
        columns = self.numbers(self.lr * self._rates, self._decays, step=1)
        # For each parameter what the rule computes with in this step
        self._numbers = np.empty((len(self.trained), len(columns)), dtypes.pop())

    def step(self, grads: Mapping[str, np.ndarray], lr: float | None = None) -> None:
        """Update the parameters once; `lr`, if given, is the learning rate of this step.

        `grads` maps names to gradients of the parameters' shapes; those of frozen parameters are not needed.
        Raises ValueError, before anything is updated, for missing or unknown names and for other shapes.
        """
        self._check(grads)
        self.begin_step(lr)
        self.update(grads)

    def begin_step(self, lr: float | None = None) -> None:
        """The first half of a step: count it, and work out the numbers of the update rule."""
        lr = self.lr if lr is None else _in_range("lr", lr)
        self.steps += 1
        for k, column in enumerate(self.numbers(lr * self._rates, self._decays, self.steps)):
            self._numbers[:, k] = column

    def update(self, grads: Mapping[str, np.ndarray]) -> None:
        """The second half: kernels alone, which can be recorded (kernels/recording.py)."""
        self._check(grads)
        for name, numbers in zip(self.trained, self._numbers):
            w, g = self.params[name].reshape(-1), np.ascontiguousarray(grads[name]).reshape(-1)
            buffers = (self.buffers[f"{name}.{buffer}"].reshape(-1) for buffer in self.buffer_names)
            self.rule(w, g, *buffers, numbers)

    def numbers(self, lr: np.ndarray, decay: np.ndarray, step: int) -> tuple:
        """What the rule computes with at that step, given the learning rate and the decay of each parameter."""
        raise NotImplementedError

    def rule(self, w: np.ndarray, g: np.ndarray, *buffers_and_numbers: np.ndarray) -> None:
        """The update rule, on flat arrays. Changes `w` and the buffers, not `g`."""
        raise NotImplementedError

    def state(self) -> dict[str, np.ndarray]:
        """A copy of all that a later step depends on, besides the parameters: "step" and the buffers.

        The buffers are named like "conv1_1.weight.momentum". `load_state` restores all of it exactly.
        """
        copies = {name: buffer.copy() for name, buffer in self.buffers.items()}
        return {"step": np.array(self.steps, np.int64), **copies}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from a `state()`.

        Raises ValueError, before anything is changed, if names, shapes or dtypes differ.
        """
        expected = {"step": np.array(self.steps, np.int64), **self.buffers}
        _check_names("the state", state, required=expected.keys(), known=expected.keys())
        for name, array in expected.items():
            found = np.asarray(state[name])
            if (found.shape, found.dtype) != (array.shape, array.dtype):
                raise ValueError(
                    f"state {name} must be {array.dtype} {array.shape}, found {found.dtype} {found.shape}"
                )
        self.steps = int(state["step"])
        for name, buffer in self.buffers.items():
            buffer[...] = state[name]

    def _check(self, grads: Mapping[str, np.ndarray]) -> None:
        _check_names("grads", grads, required=self.trained, known=self.params.keys())
        for name, g in grads.items():
            if g.shape != self.params[name].shape:
                raise ValueError(f"the gradient of {name} must be {self.params[name].shape}, found {g.shape}")


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if it is not 0.

        v ← momentum · v + g + weight_decay · w
        w ← w - lr · v

    Here the learning rate is outside v. In Caffe it is inside: the same while lr is constant.

    >>> w = np.array([1.0])
    >>> SGD({"w": w}, lr=0.1).step({"w": np.array([2.0])})
    >>> w
    array([0.8])
    """

    def __init__(
        self,
        params: Mapping[str, np.ndarray],
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        rates: Mapping[str, float] | None = None,
        decays: Mapping[str, float] | None = None,
    ):
        self.momentum = _in_range("momentum", momentum, below=1.0)
        self.buffer_names = ("momentum",) if momentum > 0 else ()
        super().__init__(params, lr, weight_decay, rates, decays)

    def numbers(self, lr, decay, step):
        return lr, self.momentum, decay

    def rule(self, w, g, *buffers_and_numbers):
        *v, numbers = buffers_and_numbers
        updates.sgd(w, g, v[0] if v else np.empty(0, w.dtype), numbers)


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and its square. At step t = 1, 2, ...

        g ← g + weight_decay · w
        m ← β₁ m + (1 - β₁) g        v ← β₂ v + (1 - β₂) g²
        w ← w - lr · m / (1 - β₁ᵗ) / (√(v / (1 - β₂ᵗ)) + eps)

    The divisions by 1 - βᵗ make up for m and v starting at 0. Source: Kingma and Ba, "Adam", 2015.

    >>> w = np.array([1.0])
    >>> Adam({"w": w}, lr=0.1).step({"w": np.array([2.0])})   # the first step is lr, however large g is
    >>> w.round(6)
    array([0.9])
    """

    buffer_names = ("first_moment", "second_moment")

    def __init__(
        self,
        params: Mapping[str, np.ndarray],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        rates: Mapping[str, float] | None = None,
        decays: Mapping[str, float] | None = None,
    ):
        self.betas = (_in_range("betas", betas[0], below=1.0), _in_range("betas", betas[1], below=1.0))
        self.eps = _in_range("eps", eps)
        super().__init__(params, lr, weight_decay, rates, decays)

    def numbers(self, lr, decay, step):
        return updates.adam_numbers(lr, self.betas, self.eps, decay, step)

    def rule(self, w, g, *buffers_and_numbers):
        updates.adam(w, g, *buffers_and_numbers)


Schedule = Callable[[int], float]  # the number of the step, from 0, to its learning rate


def constant(lr: float) -> Schedule:
    """The same learning rate at every step."""
    _in_range("lr", lr)
    return lambda step: lr


def step_decay(lr: float, every: int, factor: float = 0.1) -> Schedule:
    """lr · factor^⌊step / every⌋: a stair.

    >>> [step_decay(1.0, every=2, factor=0.5)(step) for step in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    _in_range("lr", lr)
    _in_range("factor", factor)
    _at_least_one("every", every)
    return lambda step: lr * factor ** (step // every)


def poly(lr: float, steps: int, power: float = 0.9) -> Schedule:
    """lr · (1 - step / steps)^power, and 0 from `steps` on.

    Source: Chen et al., "DeepLab", 2016, section 4.1.

    >>> poly(1.0, steps=4, power=1)(1)
    0.75
    """
    _in_range("lr", lr)
    _in_range("power", power)
    _at_least_one("steps", steps)
    return lambda step: lr * (1.0 - min(step / steps, 1.0)) ** power


def cosine(lr: float, steps: int) -> Schedule:
    """lr · (1 + cos(π step / steps)) / 2, and 0 from `steps` on.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017; here, one run
    without restarts.

    >>> print(f"{cosine(1.0, steps=3)(1):.2f}")
    0.75
    """
    _in_range("lr", lr)
    _at_least_one("steps", steps)
    return lambda step: _half_cosine(lr, 0.0, step / steps)


def one_cycle(
    lr: float, steps: int, warmup: float = 0.3, start: float = 1 / 25, end: float = 1e-4
) -> Schedule:
    """Up from lr · start to lr in the share `warmup` of the steps, then down to lr · start · end.

    Both ways are half a cosine. The peak is at step warmup · steps - 1, which need not be whole; the low end is
    at the last step, steps - 1. Source: Smith and Topin, "Super-convergence", 2018; cosines as in PyTorch.

    >>> [round(one_cycle(1.0, steps=6, warmup=0.5)(step), 3) for step in range(6)]
    [0.04, 0.52, 1.0, 0.75, 0.25, 0.0]
    """
    _in_range("lr", lr)
    _in_range("warmup", warmup, below=1.0)
    _in_range("start", start)
    _in_range("end", end)
    _at_least_one("steps", steps)
    peak, last = max(warmup * steps - 1, 0.0), steps - 1

    def schedule(step: int) -> float:
        if step < peak:
            return _half_cosine(lr * start, lr, step / peak)
        return _half_cosine(lr, lr * start * end, (step - peak) / (last - peak) if last > peak else 0.0)

    return schedule


# For a command line: every maker takes the learning rate and the number of steps.
SCHEDULES: dict[str, Callable[[float, int], Schedule]] = {
    "constant": lambda lr, steps: constant(lr),
    "step": lambda lr, steps: step_decay(lr, every=math.ceil(steps / 3)),
    "poly": poly,
    "cosine": cosine,
    "one-cycle": one_cycle,
}


def _half_cosine(first: float, last: float, t: float) -> float:
    """From `first` at t = 0 to `last` at t = 1 and after, level at both ends."""
    return last + (first - last) * (1.0 + math.cos(math.pi * min(t, 1.0))) / 2.0


def _multipliers(
    what: str, patterns: Mapping[str, float], names: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """For each name the multiplier of the first pattern that matches it, or 1."""
    for pattern, value in patterns.items():
        _in_range(f"{what}[{pattern!r}]", value)
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"{what}: {pattern!r} matches no parameter; there are {', '.join(names)}")
    return {
        name: next((float(value) for pattern, value in patterns.items() if fnmatchcase(name, pattern)), 1.0)
        for name in names
    }


def _check_names(what: str, found, required, known) -> None:
    missing = [name for name in required if name not in found]
    unknown = [name for name in found if name not in known]
    if missing or unknown:
        raise ValueError(f"{what}: missing {missing}, unknown {unknown}")


def _in_range(name: str, value: float, below: float = math.inf) -> float:
    if not 0 <= value < below:
        raise ValueError(f"{name} must be at least 0 and below {below}, found {value}")
    return float(value)


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, found {value}")
