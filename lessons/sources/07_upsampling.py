# %% [markdown]
# # 7. Upsampling
#
# **A network's answer is 32 times smaller than the picture: how does it become as large again?** With the gradient
# of a convolution, used forwards. You will write it, turn it into plain interpolation, and see where the
# checkerboards in other people's results come from.

# %%
import figures
import matplotlib.pyplot as plt
import numpy as np

from minifcn import check, initialize, optim
from minifcn.data import Shapes
from minifcn.layers import Conv2d, ConvTranspose2d
from minifcn.models import fcn32s
from minifcn.surgery import to_matrix

# %% [markdown]
# ## Each pixel paints
#
# A convolution *gathers*: each pixel of its result reads a window. A **transposed convolution** *paints*: each of
# its pixels puts the kernel, times its own value, onto the result, `stride` pixels further than its neighbour
# did. Where kernels overlap, the paint adds up. Along a line:

# %% tags=["thumbnail"]
HUES = (figures.BLUE, figures.VERMILLION, figures.GREEN, figures.ORANGE, figures.PURPLE, figures.SKY)


def painted(x, kernel, stride):
    """What each pixel of a line paints: (number of pixels, length of the result)."""
    strokes = np.zeros((len(x), (len(x) - 1) * stride + len(kernel)))
    for i, value in enumerate(x):
        strokes[i, i * stride : i * stride + len(kernel)] = value * kernel
    return strokes


def strokes(ax, x, kernel, stride, padding=0):
    """The paint of each pixel in its colour, one on the other; grey is what the padding takes away."""
    paint, bottom = painted(x, kernel, stride), 0
    places = np.arange(paint.shape[1])
    for stroke, hue in zip(paint, HUES):
        ax.bar(places, stroke, 1, bottom, color=hue, edgecolor="white", linewidth=0.6)
        bottom = bottom + stroke
    for side in (places[0] - 0.5, places[-1] + 0.5 - padding):
        ax.axvspan(side, side + padding, color="white", alpha=0.75, linewidth=0)
    ax.set(xticks=places, xlim=(-0.7, places[-1] + 0.7))
    ax.set_xticklabels([n - padding if padding <= n < len(places) - padding else "" for n in places])
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)


x, tent = np.array([1.0, 3, 2, 4]), np.array([0.25, 0.75, 0.75, 0.25])
left, middle, right = figures.panels(3, height=2.4, width=5, ratios=(4, 4, 10))
left.bar(range(4), x, 0.9, color=HUES[:4])
left.set_title("four pixels", fontsize=10)
middle.bar(range(4), tent, 0.9, color=figures.GREY)
middle.set_title("a kernel", fontsize=10)
for ax in (left, middle):
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xticks(range(4))
    ax.tick_params(labelsize=8)
right.set_title("stride 2, padding 1: eight pixels", fontsize=10)
strokes(right, x, tent, stride=2, padding=1)

# %% [markdown]
# **Padding** goes the other way round here as well: a convolution puts a border on before it gathers, its
# transpose cuts one off when the painting is done. So a side of $n$ pixels becomes $(n - 1)s + k - 2p$. In a
# formula, for pictures:
#
# $$y_{n,\;is + u - p,\;js + v - p,\;o} \mathrel{+}= \sum_c w_{u,v,o,c}\;x_{n,i,j,c}$$
#
# ### Exercise: paint
#
# The kernel is `(kh, kw, C_out, C_in)`: the layout of the convolution that goes the other way, as we shall see.


# %% tags=["exercise"]
def conv_transpose2d(x, w, stride, padding):
    """x (N, H, W, C_in), w (kh, kw, C_out, C_in) -> y (N, (H - 1) * stride + kh - 2 * padding, ..., C_out)."""
    raise NotImplementedError


# %% tags=["solution"]
def conv_transpose2d(x, w, stride, padding):
    """x (N, H, W, C_in), w (kh, kw, C_out, C_in) -> y (N, (H - 1) * stride + kh - 2 * padding, ..., C_out)."""
    (N, H, W, _), (kh, kw, C_out, _) = x.shape, w.shape
    height, width = (H - 1) * stride + kh, (W - 1) * stride + kw
    y = np.zeros((N, height, width, C_out))
    for u in range(kh):
        for v in range(kw):
            y[:, u : u + H * stride : stride, v : v + W * stride : stride][:, :H, :W] += x @ w[u, v].T
    return y[:, padding : height - padding, padding : width - padding]


# %%
check.conv_transpose2d(conv_transpose2d)

# %% [markdown]
# The same picture, to play with:

# %% tags=["widget"]
import ipywidgets

four = x  # later cells call other arrays x


@ipywidgets.interact(kernel=(1, 7), stride=(1, 4), padding=(0, 3), flat=False)
def play(kernel=4, stride=2, padding=1, flat=False):
    ax = figures.panels(1, height=2.4, width=9)
    weights = np.ones(kernel) if flat else initialize.bilinear_1d(kernel)
    strokes(ax, four, weights, stride, min(padding, (3 * stride + kernel - 1) // 2))
    plt.show()


# %% [markdown]
# ## A tent interpolates
#
# The kernel above is no accident. Its shape is a tent, and tents that overlap by half make straight lines between
# the pixels: **linear interpolation is a transposed convolution**. In two directions, a tent times a tent, it is
# *bilinear*. A tent of $k$ numbers has its top at $c = (k-1)/2$ and falls by $1/f$ from number to number, where
# $f = \lceil k/2 \rceil$ is the factor by which it enlarges:
#
# $$t_i = 1 - |i - c| / f$$
#
# ## Odd and even tents
#
# An odd tent has its top *on* a number, an even one *between* two. Mix them up, and all is shifted by half a
# pixel.

# %%
panels = figures.panels(4, height=2.2)
for ax, size in zip(panels, (3, 4, 5, 6)):
    middle, f = (size - 1) / 2, (size + 1) // 2
    ax.plot([middle - f, middle, middle + f], [0, 1, 0], color=figures.ORANGE)
    ax.bar(range(size), initialize.bilinear_1d(size), 0.25)
    ax.set_title(f"size {size}, factor {f}", fontsize=10)
    ax.set(xticks=range(size), yticks=(0, 0.5, 1), ylim=(0, 1.1))
    ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ### Exercise: the kernel of bilinear interpolation
#
# For one channel: `size` by `size` numbers.


# %% tags=["exercise"]
def bilinear_kernel(size):
    """[i, j] is t_i t_j: the tent going down times the tent going to the right."""
    raise NotImplementedError


# %% tags=["solution"]
def bilinear_kernel(size):
    """[i, j] is t_i t_j: the tent going down times the tent going to the right."""
    tent = 1 - np.abs(np.arange(size) - (size - 1) / 2) / ((size + 1) // 2)
    return np.outer(tent, tent)


# %%
check.bilinear_kernel(bilinear_kernel)

# %% [markdown]
# Is it really interpolation? Enlarge a picture, by the layer and by NumPy's `interp`, which knows nothing of
# kernels. Pixel $i$ of the large picture lies at $(i + \frac12)/f - \frac12$ of the small one.


# %%
def upsampled(picture, factor):
    """By a transposed convolution with a tent."""
    size = 2 * factor - factor % 2
    padding = (size - factor) // 2
    layer = ConvTranspose2d(1, 1, size, factor, padding=padding, bias=False, dtype=np.float64)
    layer.params["weight"][...] = initialize.bilinear(size, 1, np.float64)
    return layer.forward(picture[None, :, :, None])[0][0, :, :, 0]


def interpolated(picture, factor):
    """Row by row, then column by column."""
    for _ in range(2):
        n = len(picture)
        places = (np.arange(n * factor) + 0.5) / factor - 0.5
        picture = np.array([np.interp(places, np.arange(n), column) for column in picture.T])
    return picture


small = Shapes(200, size=64, seed=1)[131][0].mean(axis=-1)[::4, ::4] / 255
for factor in (2, 3, 4, 5):
    difference = np.abs(upsampled(small, factor) - interpolated(small, factor))
    inside = difference[factor:-factor, factor:-factor]
    print(f"factor {factor}: they differ by {inside.max():.0e} inside, {difference.max():.2f} at the border")

panels = figures.panels(4, height=2.2)
figures.image(panels[0], small, f"{len(small)} pixels a side")
figures.image(panels[1], upsampled(small, 4), "4 times, by the layer")
figures.image(panels[2], interpolated(small, 4), "by np.interp")
figures.matrix(panels[3], upsampled(small, 4) - interpolated(small, 4), "layer - interp", numbers=False)

# %% [markdown]
# Inside they agree to the last digit. At the border `interp` repeats the last pixel, while nothing is painted
# from outside: the layer's picture fades there. The released FCNs paint without padding and cut the faded border
# off (lesson 8).
#
# ## The kernel of FCN-32s has 64 numbers a side
#
# To enlarge $f$ times a tent needs $2f$ numbers ($2f - 1$ if $f$ is odd). You may read that FCN-32s has a kernel
# of 32. Then nothing overlaps, and every score paints a hill of its own:

# %%
upscore = fcn32s(classes=4, rng=0).nodes["upscore"].layer
print("FCN-32s:", upscore)
print("weights:", upscore.params["weight"].shape)

line = np.array([1.0, 2, 2, 1])
panels = figures.panels(2, height=2, width=4.5)
for ax, size in zip(panels, (32, upscore.window.kernel_size[0])):
    paint = painted(line, initialize.bilinear_1d(size), 32)
    ax.plot(paint.sum(axis=0), color="black", linewidth=2)
    for stroke, hue in zip(paint, HUES):
        ax.fill_between(range(len(stroke)), stroke, color=hue, alpha=0.45, linewidth=0)
    ax.set_title(f"scores 1, 2, 2, 1 with a kernel of {size}", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# Nor does the network "deconvolve with the kernels of conv4", as one reads. This layer has weights of its own:
# each class is enlarged by itself, with a tent, and no other layer's weights come near.

# %%
weight = upscore.params["weight"]
print("from class to class, sum of the weights:")
print(weight.sum(axis=(0, 1)))

# %% [markdown]
# ## The gradient of one is the other
#
# As a matrix (lesson 2), a convolution is $M$: a row for each pixel of the result, a column for each pixel of the
# picture. Its gradient hands back $M^T dy$. And painting *is* $M^T$: what was a window that reads becomes a
# kernel that is painted. Here is a convolution from 5 × 5 to 2 × 2 pixels, and the transposed one from 2 × 2 to 5
# × 5, with the same nine weights:

# %%
conv = Conv2d(1, 1, 3, stride=2, bias=False, rng=0, dtype=np.float64)
transposed = ConvTranspose2d(1, 1, 3, stride=2, bias=False, dtype=np.float64)
conv.params["weight"][:, :, 0, 0] = np.arange(1, 10).reshape(3, 3)
transposed.params = conv.params
M, T = to_matrix(conv, (5, 5, 1)), to_matrix(transposed, (2, 2, 1))

x = np.random.default_rng(0).integers(0, 4, (1, 5, 5, 1)).astype(float)
dy = np.array([1.0, 2, -1, 3]).reshape(1, 2, 2, 1)
y, cache = conv.forward(x)
dx, _ = conv.backward(dy, cache)

figure = plt.figure(figsize=(9, 4.2), dpi=figures.DPI, layout="constrained")
axes = figure.subplot_mosaic(
    [["M", "M", "M", "T"], ["dy", "conv", "transposed", "T"]],
    width_ratios=(4, 10, 10, 5),
    height_ratios=(4, 8),
)
figures.matrix(axes["M"], M, "the convolution's matrix, 4 × 25", size=7)
figures.matrix(axes["T"], T, "the transposed one's", size=7)
figures.matrix(axes["dy"], dy[0, :, :, 0], "dy")
figures.matrix(axes["conv"], dx[0, :, :, 0], "dx by the convolution's backward")
figures.matrix(axes["transposed"], transposed.forward(dy)[0][0, :, :, 0], "dy painted by the transposed one")
print("the matrices are each other's transpose:", np.array_equal(M.T, T))
print("conv's gradient - transposed conv's value:", np.abs(dx - transposed.forward(dy)[0]).max())
print("painting what was gathered gives x again: ", np.allclose(transposed.forward(y)[0], x))

# %% [markdown]
# The last line is why "deconvolution" is a bad name: it brings back the size, not the picture.
#
# So the backward pass of painting is gathering. `dx` is a convolution of `dy`: each pixel painted a window, and
# reads its gradient from there. And `w[u, v]` has painted `x[i, j]` at `(i * stride + u, j * stride + v)`, for
# all i, j and all images: `dw[u, v]` is the sum of their products.
#
# ### Exercise: back through the painting


# %% tags=["exercise"]
def conv_transpose2d_backward(dy, x, w, stride, padding):
    """dx, dw: the gradients of conv_transpose2d. dy has the shape of its result; shapes as there."""
    raise NotImplementedError


# %% tags=["solution"]
def conv_transpose2d_backward(dy, x, w, stride, padding):
    """dx, dw: the gradients of conv_transpose2d. dy has the shape of its result; shapes as there."""
    _, H, W, _ = x.shape
    dy = np.pad(dy, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for u, v in np.ndindex(w.shape[:2]):
        read = dy[:, u : u + H * stride : stride, v : v + W * stride : stride][:, :H, :W]
        dx += read @ w[u, v]
        dw[u, v] = np.einsum("nijo,nijc->oc", read, x)
    return dx, dw


# %%
check.conv_transpose2d_backward(conv_transpose2d_backward)

# %% [markdown]
# ## A kernel that learns
#
# A kernel with a gradient can be learned. The tent is only its first value. Let it learn to undo the averaging of
# 2 × 2 pixels, on a hundred toy pictures:

# %%
target = Shapes(200, size=32, seed=0).images.mean(axis=-1, keepdims=True).astype(np.float32) / 255 - 0.5
halved = target.reshape(200, 16, 2, 16, 2, 1).mean(axis=(2, 4))
learning = ConvTranspose2d(1, 1, 6, 2, padding=2, bias=False)
learning.params["weight"][...] = np.pad(initialize.bilinear(4, 1), ((1, 1), (1, 1), (0, 0), (0, 0)))
optimizer = optim.Adam(learning.params, lr=0.01)


def error(images):
    y, cache = learning.forward(halved[images])
    return y - target[images], cache


held_out = slice(100, 200)
before, first = np.mean(error(held_out)[0] ** 2), learning.params["weight"].copy()
rng = np.random.default_rng(0)
for _ in range(150):
    images = rng.integers(0, 100, 10)
    dy, cache = error(images)
    optimizer.step(learning.backward(dy / dy.size, cache)[1], 0.01)
after = np.mean(error(held_out)[0] ** 2)

panels = figures.panels(3, height=2.9)
for ax, kernel, title in zip(panels, (first, learning.params["weight"]), ("bilinear", "learned")):
    figures.matrix(ax, kernel[:, :, 0, 0], title, limit=1, size=8)
figures.matrix(panels[2], (learning.params["weight"] - first)[:, :, 0, 0], "learned - bilinear", limit=0.3)
print(f"mean square error on 100 other pictures: {before:.5f} bilinear, {after:.5f} learned")

# %% [markdown]
# It has grown a steeper tent with a moat of negative numbers around it, which sharpens edges.
#
# ## Checkerboards
#
# Generated pictures often show a fine chessboard. It comes from painting unevenly. **Coverage** says how many
# kernels meet at a pixel of the result, whatever their numbers:

# %%
top, bottom = figures.panels(4, 2, height=2.1)
for above, below, (kernel, stride) in zip(top, bottom, ((3, 2), (4, 2), (5, 3), (6, 3))):
    counts = painted(np.ones(5), np.ones(kernel), stride).sum(axis=0)
    strokes(above, np.ones(5), np.ones(kernel), stride)
    above.set(xticks=[], yticks=range(int(counts.max()) + 1))
    above.set_title(f"kernel {kernel}, stride {stride}", fontsize=10)
    figures.matrix(below, np.outer(counts, counts), numbers=False, limit=5)

# %% [markdown]
# Above: a line of five pixels, each with its own colour. Below: the same in two directions, where the unevenness
# is squared. Why does it show? A kernel of random numbers paints, on average, nothing; but the more kernels meet,
# the larger is what they add up to. Here are 10,000 random kernels, on a picture that is 1 everywhere:

# %%
panels = figures.panels(4, height=2.2)
for ax, kernel in zip(panels, (2, 3, 4, 5)):
    layer = ConvTranspose2d(1, 10_000, kernel, 2, padding=kernel, bias=False, rng=0)
    spread = layer.forward(np.ones((1, 12, 12, 1), np.float32))[0][0].std(axis=-1)
    spread /= spread.mean()
    figures.heat(ax, spread, f"kernel {kernel}, stride 2", limit=1.6)

# %% [markdown]
# You may read that kernels must not overlap. Too strict: the kernel of 4 overlaps, and paints evenly. The rule
# is: **the kernel's size is divisible by the stride.** FCN's kernels, 4 with 2, 16 with 8 and 64 with 32, all
# are.
#
# (Even paint prevents the pattern at the start, not for ever: a kernel may still learn one. And an odd tent, 3
# with stride 2, makes up for its uneven coverage by its numbers.)
#
# ### Exercise: coverage


# %% tags=["exercise"]
def coverage(size, kernel, stride):
    """Along a line of `size` pixels: how many kernels meet at each pixel of the result, without padding."""
    raise NotImplementedError


# %% tags=["solution"]
def coverage(size, kernel, stride):
    """Along a line of `size` pixels: how many kernels meet at each pixel of the result, without padding."""
    counts = np.zeros((size - 1) * stride + kernel, int)
    for i in range(size):
        counts[i * stride : i * stride + kernel] += 1
    return counts


# %%
check.coverage(coverage)

# %% [markdown]
# ## Another way up: unpooling
#
# SegNet and DeconvNet go up without interpolating. Their max-pooling remembers *where* in each window the largest
# number was. **Unpooling** puts a number back to that place and zeros beside it; convolutions behind it fill the
# gaps. It is the backward pass of max-pooling (lesson 4), used forwards, as this lesson's painting is that of
# convolution. It has nothing to learn, and needs the size of the map that was pooled, since 5 and 6 pixels both
# become 3.
#
# ## What you now know
#
# * A transposed convolution paints kernels, adds where they overlap, and cuts the padding off. It is the input
#   gradient of a convolution with the same weights, and the other way round; it is not its inverse.
# * With a tent for a kernel, of $2f - (f \bmod 2)$ numbers, it interpolates; FCN-32s needs 64.
# * The tent can be learned further.
# * Coverage is even where the stride divides the kernel. Elsewhere, expect checkerboards.
#
# Enlarging scores 32 times makes blobs, however well one interpolates. [Lesson 8](08_skips.ipynb) gives
# them outlines.
