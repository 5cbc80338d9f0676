"""Sums of two arrays, and channels copied from one image to another: what joins branches and parts them again."""

from minifcn.kernels.team import share, team


@team
def add(thread, threads, a, b, y):
    """y = a + b. Flat arrays; y may be one of them."""
    begin, end = share(y.size, thread, threads)
    first, second, out = a[begin:end], b[begin:end], y[begin:end]
    for i in range(out.size):
        out[i] = first[i] + second[i]


@team
def multiply(thread, threads, a, b, y):
    """y = a b, number by number. Flat arrays."""
    begin, end = share(y.size, thread, threads)
    first, second, out = a[begin:end], b[begin:end], y[begin:end]
    for i in range(out.size):
        out[i] = first[i] * second[i]


@team
def copy_channels(thread, threads, x, x_from, y, y_from, channels):
    """y[p, y_from + c] = x[p, x_from + c] for every pixel p and c < channels. Pixels are rows."""
    begin, end = share(x.shape[0], thread, threads)
    for p in range(begin, end):
        pixel, out = x[p, x_from : x_from + channels], y[p, y_from : y_from + channels]
        for c in range(channels):
            out[c] = pixel[c]
