"""Is a gradient written by hand right? Compare it with differences of the function itself.

A function y = f(x) of many numbers has a Jacobian J, and its backward computes Jᵀ dy: the gradient of <dy, y>,
where < , > is the sum of products. Both checks measure that number from outside. `check_gradients` moves one
coordinate of x at a time and so finds the wrong one. `check_adjoint` moves all of them at once, in a random
direction v, and compares <dy, J v> with <Jᵀ dy, v>: two evaluations, however large the arrays are.

The step. A central difference over ± h is wrong by h²/6 times the third derivative, and by the rounding of y,
about 1e-16 |y|, divided by h. The sum of the two is smallest near h = 6e-6. STEP is a little less, to stay away
from the kinks of ReLU and max-pool. The rounding is then 1e-10 of <|dy|, |y|>, which leaves room for the
tolerance: 1e-6 of the gradient's largest number. A wrong formula is wrong by far more.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minifcn.layers.base import Layer

STEP = 1e-6  # times |x| where that is more than 1, so that x + h always differs from x
VISIBLE = (
    1e-3  # a change of <|dy|, |y|> by less than this part, for x + 1 or 2 x, may drown in the rounding of y
)

SEED = 20141114  # of dy; whoever draws x with a common seed, such as 0, must not get the same numbers
KINK = 1e-3  # of the largest slope: a smooth function's differ by STEP times its second derivative

Forward = Callable[..., tuple[Any, Any]]
Backward = Callable[[np.ndarray, Any], Any]
Arrays = dict[str, np.ndarray]


class GradientError(AssertionError):
    """A gradient is wrong. `argument` and `index` say where; `got` and `expected` are the numbers there.

    `index` is None if the whole array is at fault: it is missing, or its shape is not the argument's.
    """

    def __init__(self, message: str, argument: str, index: tuple[int, ...] | None, got: Any, expected: Any):
        super().__init__(message)
        self.argument, self.index, self.got, self.expected = argument, index, got, expected


def check_gradients(
    forward: Forward,
    backward: Backward,
    inputs: Arrays,
    dy: np.ndarray | None = None,
    *,
    rng: np.random.Generator | int = SEED,
    rtol: float = 1e-6,
) -> None:
    """Compare every number that `backward` gives with a central difference of `forward`.

    `forward(*arrays)` returns (y, cache), and `backward(dy, cache)` the gradients: one array, a tuple in the
    order of the inputs, or a dictionary by their names; None stands for zeros. `inputs` are float64 arrays by
    name, in the order in which `forward` takes them. With h = 1e-6 max(1, |x_i|),

        dx_i = <dy, f(x + h e_i) - f(x - h e_i)> / 2h        within rtol times the largest |dx|

    `dy` is drawn from `rng` unless given. All ones would not do: a softmax's outputs add up to one, so under
    dy = 1 its gradient is zero, and a backward that returns zeros would pass. So would one that takes dy
    transposed.

    Raises GradientError, which says where and by how much; ValueError if y is not finite or `dy` has another
    shape; TypeError for inputs that are not float64, whose rounding would hide a mistake.

    >>> def forward(x, w): return x @ w, (x, w)
    >>> def backward(dy, cache): x, w = cache; return dy @ w.T, x.T @ dy
    >>> check_gradients(forward, backward, {"x": np.ones((2, 3)), "w": np.ones((3, 4))})
    >>> check_gradients(forward, lambda dy, cache: -dy, {"x": np.ones((1, 1)), "w": np.eye(1)}, dy=np.eye(1))
    Traceback (most recent call last):
    minifcn.check.differences.GradientError: backward returned 1 gradient(s), expected 2, for the inputs x, w
    """
    y, dy, gradients = _evaluate(forward, backward, inputs, dy, rng)
    for name, expected, scale, _ in differences(forward, inputs, y, dy):
        _compare(name, gradients[name], expected, rtol * scale)


def differences(
    forward: Forward, inputs: Arrays, y: np.ndarray, dy: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """For each input, by name: the gradient of <dy, y> as central differences; what an error of it is relative to;
    and where f has a kink, so that there is no gradient: its slopes on the two sides differ.

    Outputs are subtracted before they are summed: what a step does not change cancels exactly.
    """
    for name, x in inputs.items():
        steps, expected, bend = _steps(x), np.empty_like(x), np.empty_like(x)
        for index in np.ndindex(x.shape):
            step = np.zeros_like(x)
            step[index] = steps[index]
            above, below = (_forward(forward, {**inputs, name: x + s})[0] for s in (step, -step))
            expected[index] = np.sum(dy * (above - below)) / (2 * steps[index])
            bend[index] = np.sum(dy * ((above - y) - (y - below))) / steps[index]
        visible = VISIBLE * np.sum(np.abs(dy * y)) * STEP / steps
        scale = np.maximum(visible, np.abs(expected).max(initial=0.0))
        yield name, expected, scale, np.abs(bend) > KINK * scale


def check_adjoint(
    forward: Forward,
    backward: Backward,
    inputs: Arrays,
    dy: np.ndarray | None = None,
    *,
    rng: np.random.Generator | int = SEED,
    rtol: float = 1e-6,
) -> None:
    """Compare <Jᵀ dy, v> with <dy, J v> for one random direction v of all inputs together.

    Two evaluations of `forward`, so it suits larger shapes; it says that something is wrong, and
    `check_gradients` on a small shape says what. J v is the central difference along v, whose numbers lie
    between -1 and 1. A sum of random products is about as large as the root of the sum of their squares:
    the two may differ by rtol times that. Arguments and errors are those of `check_gradients`; the error's
    `argument` lists all inputs.
    """
    rng = np.random.default_rng(rng)
    y, dy, gradients = _evaluate(forward, backward, inputs, dy, rng)
    direction = {name: rng.uniform(-1.0, 1.0, x.shape) for name, x in inputs.items()}
    steps = {name: v * _steps(inputs[name]) for name, v in direction.items()}
    products = np.concatenate([(gradients[name] * steps[name]).ravel() / STEP for name in inputs])
    got, expected = float(products.sum()), _difference(forward, inputs, steps, dy) / STEP
    scale = max(np.sqrt(np.sum(products**2)), VISIBLE * np.sum(np.abs(dy * y)))
    if not (np.isfinite(got) and abs(got - expected) <= rtol * scale):
        names = ", ".join(inputs)
        message = (
            f"<backward(dy), v> is {got:.10g}, expected <dy, J v> = {expected:.10g}, v a step of {names}"
        )
        raise GradientError(message, names, None, got, expected)


def check_layer(
    layer: Layer,
    *inputs: np.ndarray,
    train: bool = False,
    rng: np.random.Generator | int = SEED,
    dy: np.ndarray | None = None,
    adjoint: bool = False,
) -> None:
    """`check_gradients` for a layer: for its inputs, named x or x0, x1, ..., and for all of its parameters.

    With `adjoint` it is `check_adjoint` instead, for larger shapes. The parameters count as float64 during the
    check; the layer is left as it was. A layer that draws random numbers draws the same ones in every
    evaluation. Raises what `check_gradients` raises.

    >>> from minifcn.layers import Conv2d
    >>> check_layer(Conv2d(1, 2, kernel_size=3), np.ones((1, 4, 5, 1)))
    """
    rng = np.random.default_rng(rng)
    seed = rng.integers(2**32)
    own = layer.params
    names = ["x"] if len(inputs) == 1 else [f"x{k}" for k in range(len(inputs))]
    arrays = dict(zip(names, inputs)) | {name: array.astype(np.float64) for name, array in own.items()}

    def forward(*values):
        layer.params = dict(zip(own, values[len(inputs) :]))
        return layer.forward(*values[: len(inputs)], train=train, rng=np.random.default_rng(seed))

    def backward(dy, cache):
        dx, grads = layer.backward(dy, cache)
        return _by_name(dx, names) | grads

    try:
        (check_adjoint if adjoint else check_gradients)(forward, backward, arrays, dy, rng=rng)
    finally:
        layer.params = own


def check_loss(
    loss: Callable[..., tuple[float, np.ndarray]], scores: np.ndarray, labels: np.ndarray, **options: Any
) -> None:
    """`check_gradients` for the gradient `dscores` of a loss, `(scores, labels, **options) -> (value, dscores)`.

    >>> from minifcn.losses import cross_entropy
    >>> check_loss(cross_entropy, np.eye(2).reshape(1, 2, 1, 2), np.array([[[1], [1]]]))
    """

    def forward(scores):
        return loss(scores, labels, **options)

    def backward(dy, dscores):
        return dy * dscores

    check_gradients(forward, backward, {"scores": scores})


def _evaluate(forward, backward, inputs, dy, rng):
    """y, dy and the gradients by name, each an array of its argument's shape."""
    for name, x in inputs.items():
        if not isinstance(x, np.ndarray) or x.dtype != np.float64:
            found = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
            raise TypeError(f"{name} must be a float64 array, found {found}")
    y, cache = _forward(forward, inputs)
    if not np.all(np.isfinite(y)):
        raise ValueError(f"forward returned {y[~np.isfinite(y)].flat[0]}: there is no gradient to check")
    dy = np.asarray(np.random.default_rng(rng).standard_normal(y.shape) if dy is None else dy)
    if dy.shape != y.shape:
        raise ValueError(f"dy must have the shape {y.shape} of y, found {dy.shape}")
    found = _by_name(backward(dy.copy(), cache), list(inputs))
    for name in [*inputs, *found]:
        if name not in inputs or name not in found:
            problem = "returned no gradient of" if name in inputs else "returned a gradient of an unknown"
            message = f"backward {problem} {name!r}; the inputs are {', '.join(inputs)}"
            raise GradientError(message, name, None, None, None)
    gradients = {}
    for name, x in inputs.items():
        gradients[name] = np.zeros_like(x) if found[name] is None else np.asarray(found[name])
        shape = gradients[name].shape
        if shape != x.shape:
            message = f"the gradient of {name!r} has shape {shape}, expected {x.shape}, the shape of {name!r}"
            raise GradientError(message, name, None, shape, x.shape)
    return y, dy, gradients


def _forward(forward, inputs):
    """The value of `forward` on copies: what it does to its arguments does not spoil the check."""
    y, cache = forward(*(np.array(x) for x in inputs.values()))
    return np.array(y), cache


def _by_name(gradients, names):
    """What backward returned as a dictionary; its names and shapes are not yet checked."""
    if isinstance(gradients, dict):
        return gradients
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    if len(gradients) != len(names):
        found, listed = len(gradients), ", ".join(names)
        message = f"backward returned {found} gradient(s), expected {len(names)}, for the inputs {listed}"
        raise GradientError(message, listed, None, found, len(names))
    return dict(zip(names, gradients))


def _difference(forward, inputs, steps, dy):
    """<dy, f(x + step) - f(x - step)> / 2, where `steps` has the steps of some of the inputs.

    The outputs are subtracted before they are summed: what the step does not change cancels exactly.
    """
    above = {name: x + steps.get(name, 0.0) for name, x in inputs.items()}
    below = {name: x - steps.get(name, 0.0) for name, x in inputs.items()}
    return float(np.sum(dy * (_forward(forward, above)[0] - _forward(forward, below)[0]))) / 2


def _steps(x):
    return STEP * np.maximum(1.0, np.abs(x))


def _compare(name, got, expected, tolerance):
    """Raise GradientError at the worst coordinate, if any is further off than its tolerance; NaN is worst."""
    error = np.nan_to_num(np.abs(got - expected), nan=np.inf)
    wrong = error > tolerance
    if not wrong.any():
        return
    index = tuple(int(i) for i in np.unravel_index(np.where(wrong, error, 0.0).argmax(), error.shape))
    message = (
        f"the gradient of {name!r} is wrong at {list(index)}: got {got[index]:.10g}, expected"
        f" {expected[index]:.10g} ({wrong.sum()} of the {error.size} numbers of shape {got.shape} are wrong)"
    )
    raise GradientError(message, name, index, float(got[index]), float(expected[index]))
