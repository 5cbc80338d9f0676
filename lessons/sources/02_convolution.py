# %% [markdown]
# # 2. Convolution
#
# **A sliding window, a matrix product, one huge matrix: which of them is a convolution?** All three. You will
# write each, draw each, time each, and see what becomes of a loop when Numba compiles it.

# %%
import time
from functools import partial

import figures
import matplotlib.pyplot as plt
import numba
import numpy as np
from matplotlib.patches import ConnectionPatch

from minifcn import check, set_threads, surgery
from minifcn.data import Shapes
from minifcn.kernels.im2col import im2col_definition
from minifcn.layers import Conv2d
from minifcn.models.backbones import alexnet_stages
from minifcn.network import Network


def convolve(x, kernel, stride=1, padding=0, dilation=1):
    """The library's convolution of one grey picture (H, W) with one kernel."""
    layer = Conv2d(1, 1, kernel.shape, stride, padding, dilation, bias=False)
    layer.params["weight"][:, :, 0, 0] = kernel
    y, _ = layer.forward(x[None, :, :, None].astype(np.float32))
    return y[0, :, :, 0]


# %% [markdown]
# ## A window slides
#
# Put a small grid of numbers, the **kernel**, on a picture. Multiply each of its numbers by the pixel below and
# add up the products: that is one pixel of the result. Move on, and do it again. (The first convolution of all
# compiles the library's kernels. That takes some seconds, once.)

# %% tags=["thumbnail"]
x = np.array([[1, 1, 1, 1, 5, 5, 5, 5]] * 4 + [[1, 1, 1, 2, 5, 5, 5, 5]] * 2 + [[1, 1, 1, 1, 2, 5, 5, 5]] * 2)
kernel = np.array([[-1, 0, 1]] * 3)


def taps(row, column, shape, dilation=1):
    """The pixels under a kernel whose first one is at (row, column)."""
    return [(row + u * dilation, column + v * dilation) for u, v in np.ndindex(shape)]


def step(ax, x, kernel, place, stride=1, padding=0, dilation=1):
    """One step of the window, in five panels: where it is, what is under it, and what becomes of that."""
    y = convolve(x, kernel, stride, padding, dilation)
    padded = np.pad(x, padding)
    under = taps(place[0] * stride, place[1] * stride, kernel.shape, dilation)
    pixels = np.array([padded[at] for at in under]).reshape(kernel.shape)
    limit = np.abs(x).max()
    figures.matrix(ax[0], padded, "picture x", limit=limit)
    figures.window(ax[0], padding, padding, *x.shape, figures.GREY, linewidth=1.5)
    for at in under:
        figures.window(ax[0], *at, 1, 1, linewidth=1.8)
    figures.matrix(ax[1], pixels, "window", limit=limit)
    figures.matrix(ax[2], kernel, "kernel w")
    figures.matrix(ax[3], pixels * kernel, "products", limit=limit)
    figures.matrix(ax[4], y, "result y")
    figures.window(ax[4], *place, 1, 1)
    ax[1].spines[:].set(color=figures.ORANGE, linewidth=1.8)
    ax[1].text(1.17, 0.5, "×", transform=ax[1].transAxes, fontsize=16, ha="center", va="center")
    ax[2].text(1.17, 0.5, "=", transform=ax[2].transAxes, fontsize=16, ha="center", va="center")
    ax[3].set_xlabel(f"sum = {y[place]:g}")
    line = {"color": figures.ORANGE, "linewidth": 1.2, "zorder": 4, "in_layout": False}
    right = under[-1][1] + 0.5
    for y_from, y_to in ((under[0][0] - 0.5, -0.5), (under[-1][0] + 0.5, len(kernel) - 0.5)):
        ends = (right, y_from), (-0.5, y_to)
        ax[0].figure.add_artist(ConnectionPatch(*ends, "data", "data", axesA=ax[0], axesB=ax[1], **line))
    ends = (1, 0.5), (place[1] - 0.5, place[0])
    arrow = ConnectionPatch(*ends, "axes fraction", "data", axesA=ax[3], axesB=ax[4], **line)
    arrow.set(arrowstyle="-|>", mutation_scale=12)
    ax[0].figure.add_artist(arrow)


def steps(x, kernel, places, **options):
    """A row of panels for each place."""
    size = np.pad(x, options.get("padding", 0)).shape[1]
    columns = size, *3 * [kernel.shape[1]], convolve(x, kernel, **options).shape[1]
    grid = figures.panels(5, len(places), height=2.8, width=size * 9 / sum(columns), ratios=columns)
    plt.gcf().get_layout_engine().set(w_pad=0.12)
    for row, place in zip(np.atleast_2d(grid), places):
        step(row, x, kernel, place, **options)


steps(x, kernel, [(1, 0), (4, 2)])

# %% [markdown]
# The first window lies on a flat place: its left column takes away what its right one adds. The second lies on an
# edge and answers. This kernel finds vertical edges, wherever they are. Nine numbers serve the whole picture.
#
# Your turn (the still picture above shows the same): slide it.

# %% tags=["widget"]
import ipywidgets

steep = x  # later cells call other arrays x
kernels = {
    "vertical edges": kernel,
    "horizontal edges": kernel.T,
    "blur": np.ones((3, 3)) / 9,
    "corner, 2x2": np.array([[1, -1], [-1, 1]]),
    "slope, 5x1": np.array([[-2], [-1], [0], [1], [2]]),
}


@ipywidgets.interact(name=list(kernels), stride=(1, 3), padding=(0, 2), dilation=(1, 2), window=(0, 99))
def slide(name="vertical edges", stride=1, padding=0, dilation=1, window=13):
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    shape = convolve(steep, kernels[name], **options).shape
    steps(steep, kernels[name], [np.unravel_index(window % np.prod(shape), shape)], **options)
    plt.show()


# %% [markdown]
# On a picture of 64 × 64 pixels (grey, from 0 to 1):

# %%
grey = Shapes(200, size=64, seed=1)[131][0].mean(axis=-1) / 255
some = {"vertical edges": kernel, "horizontal edges": kernel.T, "blur": np.ones((5, 5)) / 25}

top, bottom = figures.panels(4, 2, height=1.9)
figures.image(bottom[0], grey, "picture")
top[0].set_axis_off()
for name, w, above, below in zip(some, some.values(), top[1:], bottom[1:]):
    figures.matrix(above, w, f"kernel: {name}")
    draw = figures.image if name == "blur" else partial(figures.matrix, numbers=False)
    draw(below, convolve(grey, w))

# %% [markdown]
# Colours have three channels, later layers have many. The kernel then has as many channels as the picture, and
# the sum runs over all of them. Each of its own kernels gives a layer one channel of output. With a bias $b$ for
# each, this is the whole of it (stride $s$, padding $p$, dilation $d$ come below):
#
# $$y_{n,i,j,o} = b_o + \sum_{u,v,c} w_{u,v,c,o} \; x_{n,\; is + ud - p,\; js + vd - p,\; c}$$
#
# ## No flip
#
# Mathematicians turn the kernel by 180° before they slide it. Deep learning does not, and says *convolution* all
# the same. (Its proper name is cross-correlation.) A single bright pixel shows the difference:

# %%
spot = np.zeros((5, 5))
spot[2, 2] = 1
arrow = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])

panels = figures.panels(4, height=2.1, ratios=(5, 3, 5, 5), width=2.4)
figures.matrix(panels[0], spot, "picture")
figures.matrix(panels[1], arrow, "kernel")
figures.matrix(panels[2], convolve(spot, arrow, padding=1), "deep learning: no flip")
figures.matrix(panels[3], convolve(spot, arrow[::-1, ::-1], padding=1), "mathematics: flipped first")
print("np.convolve ([0, 0, 1, 0, 0], [1, 2, 3]):", np.convolve([0, 0, 1, 0, 0], [1, 2, 3], "same"))
print("np.correlate([0, 0, 1, 0, 0], [1, 2, 3]):", np.correlate([0, 0, 1, 0, 0], [1, 2, 3], "same"))

# %% [markdown]
# With the flip, the spot becomes the kernel; without, the kernel upside down. Nothing is lost: kernels are
# learned, and a flipped one is learned as easily. But mix the two, and your numbers are wrong.
#
# ## Stride, padding, dilation
#
# * **Stride** $s$: the window moves on by $s$ pixels.
# * **Padding** $p$: so many zeros are put around the picture.
# * **Dilation** $d$: the kernel's numbers lie $d$ pixels apart.

# %%
cases = {"plain": (1, 0, 1), "stride 2": (2, 0, 1), "padding 1": (1, 1, 1), "dilation 2": (1, 0, 2)}
top, bottom = figures.panels(4, 2, height=2)


def paint(ax, places, colour, alpha=1.0):
    for at in places:
        figures.window(ax, *at, 1, 1, figures.GREY, facecolor=colour, alpha=alpha, linewidth=0.6)


for (name, (s, p, d)), above, below in zip(cases.items(), top, bottom):
    size = len(convolve(np.ones((7, 7)), kernel, s, p, d))
    paint(above, np.ndindex(7 + 2 * p, 7 + 2 * p), figures.PALE)
    paint(above, taps(p, p, (7, 7)), "white")
    paint(below, np.ndindex(size, size), "white")
    for number, colour in enumerate((figures.ORANGE, figures.SKY)):
        paint(above, taps(0, number * s, (3, 3), d), colour, alpha=0.7)
        paint(below, [(0, number)], colour, alpha=0.7)
    above.set_title(name, fontsize=10)
    below.set_title(f"7 pixels become {size}", fontsize=10)
    for ax, cells in ((above, 7 + 2 * p), (below, size)):
        ax.set(aspect="equal", xlim=(cells / 2 - 5.3, cells / 2 + 4.3), ylim=(9, -0.6))
        ax.set_axis_off()

# %% [markdown]
# Above: the first window and the second. Below: the pixels that they give. A window that sticks out of picture
# and padding gives none. With dilation $d$ a kernel of $k$ numbers reaches over $d(k - 1) + 1$ pixels.
#
# ### Exercise: how large is the result?
#
# Along one side: `size` pixels, a `kernel` of so many numbers. All are whole numbers, and there is room for one
# window at least.


# %% tags=["exercise"]
def output_size(size, kernel, stride, padding, dilation):
    """How many places the window has."""
    raise NotImplementedError


# %% tags=["solution"]
def output_size(size, kernel, stride, padding, dilation):
    """How many places the window has."""
    reach = dilation * (kernel - 1) + 1
    return (size + 2 * padding - reach) // stride + 1


# %%
check.output_size(output_size)

# %% [markdown]
# It explains the sizes in AlexNet. Posts often say that 55, 27 and 13 pixels are left *after* the first, second
# and fifth pooling. They are left after the convolutions, and the last pooling leaves fewer:

# %%
alexnet = Network()
alexnet_stages(alexnet, np.random.default_rng(0), padding=0)
for name, (_, H, W, C) in alexnet.shapes((1, 227, 227, 3)).items():
    if name.startswith(("conv", "pool")):
        print(f"{name}  {H:2} × {W:2} × {C:3}   {alexnet.nodes[name].layer}")

# %% [markdown]
# ## By loops
#
# The formula, read aloud: for each image, for each pixel of the result, for each of its channels, for each pixel
# and each channel of the window.
#
# ### Exercise: convolution
#
# x (N, H, W, C_in), w (kh, kw, C_in, C_out), b (C_out,); the result is (N, Ho, Wo, C_out). `stride`, `padding`
# and `dilation` are whole numbers, the same in both directions. Loops are fine; so is anything else. One trap:
# x[-1] is not the padding before the first row, it is the last row.


# %% tags=["exercise"]
def conv2d(x, w, b, stride, padding, dilation):
    """The convolution of x with w, plus b."""
    raise NotImplementedError


# %% tags=["solution"]
def conv2d(x, w, b, stride, padding, dilation):
    """The convolution of x with w, plus b."""
    (N, H, W, _), (kh, kw, _, C_out) = x.shape, w.shape
    Ho = (H + 2 * padding - dilation * (kh - 1) - 1) // stride + 1
    Wo = (W + 2 * padding - dilation * (kw - 1) - 1) // stride + 1
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    y = np.zeros((N, Ho, Wo, C_out)) + b
    for i in range(Ho):
        for j in range(Wo):
            for u in range(kh):
                for v in range(kw):
                    y[:, i, j] += padded[:, i * stride + u * dilation, j * stride + v * dilation] @ w[u, v]
    return y


# %%
check.conv2d(conv2d)

# %% [markdown]
# ## As patches times a matrix
#
# Write what is under the window as one row of a matrix, for each place of the window: the **patches**. Write the
# kernel as a column. Then a convolution is a matrix product, and for those the world has fast programs. The name
# is *im2col*.

# %%
x = np.arange(1, 17).reshape(4, 4)
w = np.array([[1, 0], [-1, 2]])
patches = im2col_definition(x[None, :, :, None], (2, 2), (1, 1), (0, 0), (1, 1)).reshape(9, 4)
product = patches @ w.ravel()

panels = figures.panels(6, height=3.2, width=2.2, ratios=(4, 2, 4, 1, 1, 3))
plt.gcf().get_layout_engine().set(w_pad=0.12)
figures.matrix(panels[0], x, "picture")
figures.matrix(panels[1], w, "kernel")
figures.matrix(panels[2], patches, "patches")
figures.matrix(panels[3], w.reshape(4, 1), "w")
figures.matrix(panels[4], product.reshape(9, 1), "y")
figures.matrix(panels[5], product.reshape(3, 3), "result")
for panel, sign in zip(panels[2:], "×="):
    panel.text(1.1 if sign == "×" else 1.35, 0.5, sign, transform=panel.transAxes, fontsize=14, va="center")
for row, colour in ((0, figures.ORANGE), (4, figures.BLUE), (8, figures.GREEN)):
    i, j = divmod(row, 3)
    figures.window(panels[0], i, j, 2, 2, colour)
    figures.window(panels[2], row, 0, 1, 4, colour)
    figures.window(panels[4], row, 0, 1, 1, colour)
    figures.window(panels[5], i, j, 1, 1, colour)

# %% [markdown]
# Every pixel is copied into as many patches as there are windows above it: 3 × 3 kernels make nine pictures of
# one. More channels make longer rows, more kernels more columns.
#
# ### Exercise: im2col
#
# `kernel_size` is a pair (kh, kw). The result is (N, Ho, Wo, kh, kw, C): then `.reshape(-1, kh * kw * C)` are the
# patches, and `w.reshape(-1, C_out)` is the matrix to multiply by.


# %% tags=["exercise"]
def im2col(x, kernel_size, stride, padding, dilation):
    """[n, i, j, u, v, c] is the pixel of x, or of its padding, under the kernel's number u, v at the place i, j."""
    raise NotImplementedError


# %% tags=["solution"]
def im2col(x, kernel_size, stride, padding, dilation):
    """[n, i, j, u, v, c] is the pixel of x, or of its padding, under the kernel's number u, v at the place i, j."""
    (N, H, W, C), (kh, kw) = x.shape, kernel_size
    Ho = (H + 2 * padding - dilation * (kh - 1) - 1) // stride + 1
    Wo = (W + 2 * padding - dilation * (kw - 1) - 1) // stride + 1
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    patches = np.empty((N, Ho, Wo, kh, kw, C), x.dtype)
    for i in range(Ho):
        for j in range(Wo):
            top, left = i * stride, j * stride
            rows = slice(top, top + dilation * (kh - 1) + 1, dilation)
            columns = slice(left, left + dilation * (kw - 1) + 1, dilation)
            patches[:, i, j] = padded[:, rows, columns]
    return patches


# %%
check.im2col(im2col)

# %% [markdown]
# ## As one large matrix
#
# Turn it round: leave the picture as it is, and copy the *kernel*. A convolution is linear: each pixel of the
# result is a sum of pixels times numbers. So there is a matrix M with `y.ravel() = M @ x.ravel()`. Each of its
# rows holds the kernel, somewhere, and zeros.

# %%
layer = Conv2d(1, 1, kernel_size=3, bias=False)
kernel = np.arange(1, 10).reshape(3, 3)
layer.params["weight"][:, :, 0, 0] = kernel
M = surgery.to_matrix(layer, (6, 6, 1))  # a picture of 6 x 6 pixels becomes one of 4 x 4
place, pixel = 5, 14

figure = plt.figure(figsize=(9, 5.4), dpi=figures.DPI, layout="constrained")
ax = figure.subplot_mosaic("MMMT;kryT", width_ratios=(12, 12, 12, 16))
figures.matrix(ax["M"], M, "M (16 × 36)")
figures.window(ax["M"], place, 0, 1, 36)
figures.matrix(ax["T"], M.T, "its transpose Mᵀ (36 × 16)")
figures.window(ax["T"], pixel, 0, 1, 16, figures.PURPLE)
figures.matrix(ax["k"], kernel, "the kernel")
figures.matrix(ax["r"], M[place].reshape(6, 6), "a row of M, as 6 × 6", limit=9)
figures.matrix(ax["y"], M.T[pixel].reshape(4, 4), "one of Mᵀ, as 4 × 4", limit=9)
for name, colour in (("r", figures.ORANGE), ("y", figures.PURPLE)):
    ax[name].spines[:].set(color=colour, linewidth=2.5)

print(f"{np.mean(M == 0):.0%} of M is zero; it has {M.size} entries and {kernel.size} different numbers")
H, W, C, K = 224, 224, 3, 64
size = (H * W * C) * (H * W * K) * 4
print(
    f"M of VGG16's first layer would take {size / 1e12:.1f} TB, its kernels take {9 * C * K * 4 / 1e3:.1f} kB"
)

# %% [markdown]
# Two things can be seen here. A row of M, read as a picture, is *where one pixel of the result looks*: at few
# pixels, and with the same nine numbers as all others. A fully connected layer would learn each entry of M.
#
# A row of the transpose is *which results one pixel reaches*. It goes from the result back to the picture, with
# the kernel upside down. Remember it: it carries the gradients in lesson 3, and enlarges maps in lesson 7.
#
# ### Exercise: the matrix
#
# One channel, stride 1, no padding: w is (kh, kw), the picture `height` × `width` pixels.


# %% tags=["exercise"]
def conv_matrix(w, height, width):
    """The matrix M with M @ x.ravel() = y.ravel(), where y is the convolution of x (height, width) with w."""
    raise NotImplementedError


# %% tags=["solution"]
def conv_matrix(w, height, width):
    """The matrix M with M @ x.ravel() = y.ravel(), where y is the convolution of x (height, width) with w."""
    kh, kw = w.shape
    Ho, Wo = height - kh + 1, width - kw + 1
    M = np.zeros((Ho, Wo, height, width))
    for i in range(Ho):
        for j in range(Wo):
            M[i, j, i : i + kh, j : j + kw] = w
    return M.reshape(Ho * Wo, height * width)


# %%
check.conv_matrix(conv_matrix)

# %% [markdown]
# ## How long each takes
#
# One small layer, computed in all three ways. The loops run twice: by Python, and compiled by Numba.

# %%
rng = np.random.default_rng(0)
layer = Conv2d(4, 8, kernel_size=3, rng=0, bias=False)
w = layer.params["weight"]
x = rng.standard_normal((1, 34, 34, 4), np.float32)


def loops(x, w, y):
    Ho, Wo, C_out = y.shape
    kh, kw, C_in, _ = w.shape
    for i in range(Ho):
        for j in range(Wo):
            for o in range(C_out):
                y[i, j, o] = 0
                for u in range(kh):
                    for v in range(kw):
                        for c in range(C_in):
                            y[i, j, o] += w[u, v, c, o] * x[i + u, j + v, c]


def other_order(x, w, y):
    """The same sums, eight side by side: the innermost loop runs over the channels of the result."""
    Ho, Wo, C_out = y.shape
    kh, kw, C_in, _ = w.shape
    for i in range(Ho):
        for j in range(Wo):
            y[i, j] = 0
            for u in range(kh):
                for v in range(kw):
                    for c in range(C_in):
                        for o in range(C_out):
                            y[i, j, o] += w[u, v, c, o] * x[i + u, j + v, c]


def by_patches(x, w):
    patches = im2col_definition(x, (3, 3), (1, 1), (0, 0), (1, 1))
    return patches.reshape(-1, 36) @ w.reshape(36, 8)


M = surgery.to_matrix(layer, (34, 34, 4))
y = np.empty((32, 32, 8), np.float32)
ways = {
    "loops, Python": partial(loops, x[0], w, y),
    "loops, Numba": partial(numba.njit(loops), x[0], w, y),
    "loops in another order, Numba": partial(numba.njit(other_order), x[0], w, y),
    "minifcn": lambda: layer.forward(x)[0],
    "patches, NumPy": lambda: by_patches(x, w),
    "one large matrix, NumPy": lambda: M @ x.ravel(),
}
expected = layer.forward(x)[0].ravel()
for name, way in ways.items():
    result = way()
    result = y if result is None else result
    print(f"{name:30} the same numbers: {np.allclose(result.ravel(), expected, atol=1e-4)}")


# %% tags=["timing"]
def milliseconds(way):
    """The best of some calls, behind a first one that may compile."""
    way()
    took, end = [], time.perf_counter() + 0.4
    while len(took) < 3 or (len(took) < 200 and time.perf_counter() < end):
        began = time.perf_counter()
        way()
        took.append(time.perf_counter() - began)
    return 1e3 * min(took)


def two_digits(number):
    return np.format_float_positional(number, 2, fractional=False, trim="-")


def bars(ax, ways, title):
    times = [milliseconds(way) for way in ways.values()]
    ax.barh(range(len(ways)), times)
    for row, took in enumerate(times):
        label = f"{two_digits(took)} ms (×{two_digits(max(times) / took)})"
        ax.text(took * 1.15, row, label, va="center", fontsize=8)
    ax.set(xscale="log", xlabel="milliseconds", xlim=(min(times) / 3, 30 * max(times)))
    ax.set_yticks(range(len(ways)), ways, fontsize=9)
    ax.invert_yaxis()
    ax.set_title(title, fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)


set_threads(1)  # of minifcn, as the loops have only one
maps = rng.standard_normal((1, 56, 56, 128), np.float32)
algorithms = {
    name: partial(Conv2d(128, 128, 3, padding=1, rng=0, algorithm=name).forward, maps)
    for name in ("im2col", "direct", "winograd")
}
left, right = figures.panels(2, height=2.4, width=4.6, ratios=(1.3, 1))
bars(right, algorithms, "minifcn: 56 × 56, 128 to 128 channels")
bars(left, ways, "32 × 32, 4 to 8 channels")

began = time.perf_counter()
numba.njit(loops)(x[0], w, y)
print(f"compiling the loops, once: {1e3 * (time.perf_counter() - began):.0f} ms")

# %% [markdown]
# ## What Numba does to a loop
#
# For every product, Python looks up what its factors are, and makes an object of the result. Numba reads the
# function when it is first called, finds the type of each variable, and compiles the loops to a few machine
# instructions each. Nothing else has changed, and the time has shrunk by hundreds.
#
# Then the *order* of the loops counts. With the channels of the result innermost, eight sums run side by side in
# one vector instruction. The kernels of `minifcn` are such loops, in Python, thought through to the end: sums
# that never leave the registers, patches made piece by piece so that they stay in the cache, and, for 3 × 3
# kernels, Winograd's way to do with a quarter of the multiplications. `Conv2d(…, algorithm=…)` picks one by hand;
# the right picture compares them.
#
# The large matrix is for understanding: nearly all of its time is spent on zeros.
#
# ## What you now know
#
# * A convolution is a window that slides, or patches times a matrix, or one large matrix of few numbers and many
#   zeros. All give the same numbers.
# * Deep learning does not flip the kernel; the transposed matrix does.
# * Stride, padding and dilation, and the size that they leave: $\lfloor (n + 2p - d(k - 1) - 1) / s \rfloor + 1$.
# * A loop is slow in Python, not in itself.
#
# Next: how a convolution learns, [backward by hand](03_backward.ipynb).
