"""A convolution as a layer of numpy-ml, the well-known collection of algorithms in plain NumPy.

Its last release imports a name that Python 3.10 dropped; here it is lent for the time of the import.
"""

import collections
import collections.abc
import warnings

import numpy as np

from benchmarks.versus_torch.rows import Ready, of_gradients
from minifcn.layers import Conv2d


def _import_conv2d():
    collections.Hashable = collections.abc.Hashable
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it misses the gym package, which convolutions do not need
            from numpy_ml.neural_nets.layers import Conv2D
    finally:
        del collections.Hashable
    return Conv2D


def convolution(layer: Conv2d, x: np.ndarray, dy: np.ndarray) -> Ready:
    """Forward and backward, with all gradients."""
    kind, window = _import_conv2d(), layer.window
    twin = kind(layer.out_channels, window.kernel_size, pad=window.padding[0], stride=window.stride[0])
    twin.in_ch = layer.in_channels
    twin._init_params()
    twin.parameters = {"W": layer.params["weight"].copy(), "b": layer.params["bias"].reshape(1, 1, 1, -1)}

    def step():
        twin.X.clear()  # it remembers every input until it is told to forget, and adds all gradients up
        for kept in twin.derived_variables.values():
            kept.clear()
        twin.gradients = {name: np.zeros_like(array) for name, array in twin.parameters.items()}
        y = twin.forward(x)
        dx = twin.backward(dy)
        return y, dx[0] if isinstance(dx, list) else dx

    def results():
        y, dx = step()
        grads = {"weight": twin.gradients["W"], "bias": twin.gradients["b"].ravel(), "input": dx}
        return {"output": y, **of_gradients(grads)}

    return Ready(step, results)
