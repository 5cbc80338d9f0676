"""Fully convolutional networks from the inside: NumPy, Numba and gradients written by hand."""

__version__ = "0.1.0"
