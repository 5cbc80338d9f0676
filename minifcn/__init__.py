"""Fully convolutional networks from the inside: NumPy, Numba and gradients written by hand."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minifcn.kernels.jit import get_threads, set_threads

__all__ = ["get_threads", "set_threads"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """get_threads and set_threads, when they are asked for: they import Numba, which takes a moment."""
    if name in __all__:
        from minifcn.kernels import jit

        return getattr(jit, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
