# %% [markdown]
# # 4. Pooling, rectifiers, receptive fields
#
# **How can a pixel of a small map know what is in half of a photograph?** It is the top of a pyramid of windows. In
# this lesson you build the two layers that stand between the convolutions, hand gradients back through them, and
# measure how far a pixel sees.

# %%
import figures
import matplotlib.cbook
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from minifcn import check, geometry
from minifcn.data import Shapes
from minifcn.layers import AvgPool2d, Conv2d, MaxPool2d, ReLU
from minifcn.models.backbones import alexnet_stages
from minifcn.network import Network

# %% [markdown]
# ## A gate
#
# A convolution is linear, and linear layers on top of each other are one linear layer. So something that is not
# linear comes between them. The rectifier is the simplest: $y = \max(0, x)$. Its slope is 1 where x is positive
# and 0 where it is negative. On the way back it is a **gate**: it lets the gradient through where it let the
# value through.

# %%
x = np.array([[3.0, -1, 2], [-2, 1, -3], [1, -1, 4]])
dy = np.array([[-2.0, 5, 1], [3, 2, 4], [1, -6, -1]])
y, cache = ReLU().forward(x)
dx, _ = ReLU().backward(dy, cache)

for ax, (array, name) in zip(
    figures.panels(4, height=2.0), ((x, "x"), (y, "y = max(0, x)"), (dy, "dy"), (dx, "dx"))
):
    figures.matrix(ax, array, name, limit=7)
    for row, column in zip(*np.nonzero(x > 0)):
        figures.window(ax, row, column, 1, 1, linewidth=1.8)

# %% [markdown]
# The open gates are framed. Look at dx: it has numbers just there, and they are those of dy, negative ones too.
# The sign of *x* decides, not that of dy. At 0 there is a kink and no slope; all libraries take 0 there.
#
# ### Exercise: the gate


# %% tags=["exercise"]
def relu_backward(dy, x):
    """dx, where y = max(0, x)."""
    raise NotImplementedError


# %% tags=["solution"]
def relu_backward(dy, x):
    """dx, where y = max(0, x)."""
    return dy * (x > 0)


# %%
check.relu_backward(relu_backward)

# %% [markdown]
# ## The largest
#
# Pooling makes a map smaller: a window slides as in a convolution, with a stride, and leaves one number for each
# place. Max-pooling leaves the **largest**, average pooling the **mean**. There is nothing to learn in them, and
# each channel is on its own. VGG16 takes windows of 2 × 2 with a stride of 2, five times.

# %% tags=["thumbnail"]
x = np.array([[1.0, 5, 2, 0], [3, 2, 4, 4], [-1, -4, 0, 2], [-2, -3, 6, 1]])
dy = np.array([[2.0, -1], [3, 1]])
WINDOWS = ((0, 0, figures.BLUE), (0, 1, figures.ORANGE), (1, 0, figures.GREEN), (1, 1, figures.PURPLE))

grid = figures.panels(4, 2, height=2.0, ratios=(4, 2, 2, 4))
for row, layer, name in zip(grid, (MaxPool2d(2, 2), AvgPool2d(2, 2)), ("largest", "mean")):
    y, cache = layer.forward(x[None, :, :, None])
    dx, _ = layer.backward(dy[None, :, :, None], cache)
    parts = (x, "x"), (y[0, :, :, 0], name), (dy, "dy"), (dx[0, :, :, 0], "dx")
    for ax, (array, title) in zip(row, parts):
        figures.matrix(ax, array, title, limit=7)
        cells = len(array) // 2
        for i, j, colour in WINDOWS:
            figures.window(ax, i * cells, j * cells, cells, cells, colour)

# %% [markdown]
# Where windows stick out of the image, pixels outside must not count. So max-pooling pads with $-\infty$. With
# zeros, as some codes do, a window of negative numbers gives 0:

# %%
negative = x[None, 2:, :2, None]
print("x:                ", negative.ravel())
print("padded with -inf: ", MaxPool2d(3, stride=1, padding=1).forward(negative)[0].ravel())
zeros = np.pad(negative, ((0, 0), (1, 1), (1, 1), (0, 0)))
print("padded with zeros:", MaxPool2d(3, stride=1).forward(zeros)[0].ravel())

# %% [markdown]
# The same happens to a loop that begins its search with 0.
#
# ### Exercise: max-pooling
#
# `kernel_size` and `stride` are whole numbers here; only windows that lie in the image count.


# %% tags=["exercise"]
def max_pool2d(x, kernel_size, stride):
    """y (N, Ho, Wo, C), where x is (N, H, W, C)."""
    raise NotImplementedError


# %% tags=["solution"]
def max_pool2d(x, kernel_size, stride):
    """y (N, Ho, Wo, C), where x is (N, H, W, C)."""
    N, H, W, C = x.shape
    y = np.empty((N, (H - kernel_size) // stride + 1, (W - kernel_size) // stride + 1, C))
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            rows, columns = (slice(at * stride, at * stride + kernel_size) for at in (i, j))
            y[:, i, j] = x[:, rows, columns].max(axis=(1, 2))
    return y


# %%
check.max_pool2d(max_pool2d)

# %% [markdown]
# ## The winner takes it all
#
# Only the largest pixel of a window reaches y. If another one moves a little, y stays. So the whole gradient goes
# to the winner (upper row of the figure). If two are equal, moving either up makes y larger, moving either down
# does not: a **kink**, where no gradient exists. Libraries give all to the first, row by row. That is why a
# gradient check keeps away from ties: near one, its difference mixes two slopes.

# %%
for gap in (1e-2, 1e-4, 1e-8, 0):
    pair, step = np.array([1.0, 1.0 - gap]), 1e-6
    up, down = (np.max(pair + [0, sign * step]) for sign in (1, -1))
    print(f"the loser is {gap:g} behind: its slope, by differences, is {(up - down) / (2 * step):.2f}")

# %% [markdown]
# A pixel may win in several windows, if they overlap. Then its gradients add, as always.
#
# ### Exercise: to the winner


# %% tags=["exercise"]
def max_pool2d_backward(dy, x, kernel_size, stride):
    """dx (N, H, W, C): dy (N, Ho, Wo, C), handed to the first largest pixel of each window."""
    raise NotImplementedError


# %% tags=["solution"]
def max_pool2d_backward(dy, x, kernel_size, stride):
    """dx (N, H, W, C): dy (N, Ho, Wo, C), handed to the first largest pixel of each window."""
    dx = np.zeros(x.shape)
    for n, i, j, c in np.ndindex(dy.shape):
        top, left = i * stride, j * stride
        window = x[n, top : top + kernel_size, left : left + kernel_size, c]
        u, v = divmod(np.argmax(window), kernel_size)
        dx[n, top + u, left + v, c] += dy[n, i, j, c]
    return dx


# %%
check.max_pool2d_backward(max_pool2d_backward)

# %% [markdown]
# ## The mean shares
#
# In a mean of k × k pixels, each counts with $1/k^2$. Forward it gives that share, backward it gets that share
# (lower row of the figure).
#
# ### Exercise: to everyone


# %% tags=["exercise"]
def avg_pool2d_backward(dy, input_shape, kernel_size, stride):
    """dx of shape input_shape (N, H, W, C), where dy is (N, Ho, Wo, C)."""
    raise NotImplementedError


# %% tags=["solution"]
def avg_pool2d_backward(dy, input_shape, kernel_size, stride):
    """dx of shape input_shape (N, H, W, C), where dy is (N, Ho, Wo, C)."""
    dx = np.zeros(input_shape)
    for i in range(dy.shape[1]):
        for j in range(dy.shape[2]):
            rows, columns = (slice(at * stride, at * stride + kernel_size) for at in (i, j))
            dx[:, rows, columns] += dy[:, i : i + 1, j : j + 1] / kernel_size**2
    return dx


# %%
check.avg_pool2d_backward(avg_pool2d_backward)

# %% [markdown]
# ## What a shift does
#
# Move a picture by one pixel, and the result of a convolution moves by one pixel. Nothing else changes, but at
# the border. Is that so with pooling, too? We shift a picture, pool it, and compare with the pooled map of the
# unshifted one, moved by as many whole pixels as it can be.

# %%
picture = Shapes(10, size=96, seed=3)[4][0].mean(axis=-1) / 255
shifts = range(9)


def change(layer, stride, shift):
    """How much the map of the shifted picture differs from the map, shifted: largest difference over spread."""
    moved = np.roll(picture, shift, axis=1)
    a, b = (layer.forward(image[None, :, :, None])[0][0, :, :, 0] for image in (picture, moved))
    b = np.roll(b, -(shift // stride), axis=1)
    border = 12 // stride  # where the picture was wrapped round
    return np.abs(a - b)[:, border:-border].max() / np.ptp(a)


ax = figures.panels(1, height=2.4, width=5.5)
layers = {
    "convolution": (Conv2d(1, 1, 3, padding=1, dtype=np.float64, rng=0), 1),
    "max-pooling 2 × 2, stride 2": (MaxPool2d(2, 2), 2),
    "max-pooling 4 × 4, stride 4": (MaxPool2d(4, 4), 4),
    "average pooling 4 × 4, stride 4": (AvgPool2d(4, 4), 4),
}
for (name, (layer, stride)), marker in zip(layers.items(), "os^v"):
    ax.plot(shifts, [change(layer, stride, shift) for shift in shifts], marker=marker, label=name)
ax.set(xlabel="the picture is shifted by … pixels", ylabel="largest change / spread")
ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# The map comes back exactly where the shift is a multiple of the stride. In between it does not: pooling is *not*
# blind to small shifts, as is often said. It forgets where in its window the largest pixel was; a segmentation
# has to find that out again. That is what lessons 7 and 8 are for.
#
# ## How far a pixel sees
#
# A pixel behind one convolution of 3 × 3 sees 3 pixels in a row. Behind two it sees 5: its own window, and what
# the pixels at its ends see. Behind a stride of 2, neighbours lie two pixels of the image apart, and every
# further window reaches twice as far.

# %%
STACK = [(3, 1), (2, 2), (3, 1), (2, 2), (3, 1)]  # (kernel, stride): convolutions and poolings of 2 x 2


def fields(layers):
    """(size, stride) of the receptive field behind each layer, by the library's geometry."""
    net = Network()
    for number, (kernel, stride) in enumerate(layers):
        net.add(f"layer{number}", Conv2d(1, 1, kernel, stride))
    views = [geometry.view(net, name) for name in net.nodes]
    return [(int(view.field), int(view.stride)) for view in views]


def cone(ax, layers):
    """The pixels of a row, layer above layer, and in colour all that the pixel on top has seen."""
    steps = [1, *(stride for _, stride in fields(layers))]
    size = fields(layers)[-1][0]
    spans, seen = [], [0]
    for kernel, stride in reversed(layers):  # numbers of the pixels below that each layer reads
        spans.append(seen)
        seen = range(seen[0] * stride, seen[-1] * stride + kernel)
    spans = [seen, *reversed(spans)]
    centres = [(size - 1) / 2]
    first = [0.0]  # where pixel 0 of each layer lies in the image
    for (kernel, _), step in zip(layers, steps):
        first.append(first[-1] + (kernel - 1) / 2 * step)
    for level, (span, step) in enumerate(zip(spans, steps)):
        places = [first[level] + number * step for number in span]
        if level:
            kernel, stride = layers[level - 1]
            for number, place in zip(span, places):
                below = [first[level - 1] + (number * stride + u) * steps[level - 1] for u in (0, kernel - 1)]
                ax.fill([place, *below], [level, level - 1, level - 1], color=figures.SKY, alpha=0.25, lw=0)
        ax.plot(places, [level] * len(places), "s", color=figures.BLUE, markersize=max(2, min(6, 160 / size)))
    names = [f"kernel {kernel}, stride {stride}" for kernel, stride in layers]
    ax.set_yticks(range(len(spans)), ["image", *names], fontsize=8)
    ax.set(xlim=(centres[0] - size / 2 - 1, centres[0] + size / 2 + 1), xticks=[])
    ax.set_title(f"the pixel on top sees {size} pixels; its neighbour lies {steps[-1]} further", fontsize=10)
    ax.spines[:].set_visible(False)


cone(figures.panels(1, height=2.6, width=7), STACK)
for (kernel, stride), (size, step) in zip(STACK, fields(STACK)):
    print(f"kernel {kernel}, stride {stride}: sees {size:2}, neighbours {step} apart")

# %% [markdown]
# Your turn: the picture above is this one, standing still.

# %% tags=["widget"]
import ipywidgets


@ipywidgets.interact(layers=(1, 5), kernel=(1, 5), stride=(1, 3))
def see(layers=3, kernel=3, stride=2):
    cone(figures.panels(1, height=2.6, width=7), [(kernel, stride)] * layers)
    plt.show()


# %% [markdown]
# ### Exercise: the receptive field
#
# `layers` is a list of (kernel, stride), the first layer first.


# %% tags=["exercise"]
def receptive_field(layers):
    """(size, stride): how many pixels of the image a pixel sees in a row, and how far apart neighbours lie."""
    raise NotImplementedError


# %% tags=["solution"]
def receptive_field(layers):
    """(size, stride): how many pixels of the image a pixel sees in a row, and how far apart neighbours lie."""
    size, stride = 1, 1
    for kernel, step in layers:
        size += (kernel - 1) * stride
        stride *= step
    return size, stride


# %%
check.receptive_field(receptive_field)

# %% [markdown]
# ## Measured
#
# Backward is a measuring device: hand back a 1 at one pixel of the output and 0 at all others. What arrives at
# the image is not zero just where that pixel looks. We do it with ten networks of random weights, without any
# rule for receptive fields in between.

# %%
size = fields(STACK)[-1][0]
total = np.zeros((41, 41))
for seed in range(10):
    net, channels = Network(), 1
    for number, (kernel, stride) in enumerate(STACK):
        if stride == 1:
            net.add(f"conv{number}", Conv2d(channels, 8, kernel, padding=1, dtype=np.float64, rng=seed))
            net.add(f"relu{number}", ReLU())
            channels = 8
        else:
            net.add(f"pool{number}", AvgPool2d(kernel, stride))
    scores, tape = net.forward(np.random.default_rng(seed).random((1, 41, 41, 1)))
    dy = np.zeros_like(scores)
    dy[0, 5, 5] = 1
    total += np.abs(net.backward(dy, tape, image_gradient=True)["image"][0, :, :, 0])

rows, columns = np.nonzero(total)
left, right = figures.panels(2, height=2.8, width=3.3)
figures.heat(left, total / total.max(), "how much each pixel counts")
figures.window(left, rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1, figures.VERMILLION)
right.plot(total[rows.min() : rows.max() + 1].sum(axis=0) / total.sum(), drawstyle="steps-mid")
right.set(xlabel="column", ylabel="share of the gradient", ylim=(0, None))
right.spines[["top", "right"]].set_visible(False)
print(f"measured: {np.ptp(columns) + 1} pixels; computed: {size}")
half = size // 4
middle = total[:, columns.min() + half : columns.max() + 1 - half].sum() / total.sum()
print(f"the middle half of the columns has {middle:.0%} of the gradient")

# %% [markdown]
# The two agree. And the picture says more than the number: pixels in the middle have many paths to the output,
# those at the rim have one. So a pixel *can* see its whole field, but it looks mostly at the middle.
#
# ## What 404 pixels mean
#
# FCN stands on VGG16: thirteen convolutions of 3 × 3, five poolings, and fc6, a window of 7 × 7 on top.

# %%
VGG16 = [layer for convolutions in (2, 2, 3, 3, 3) for layer in [(3, 1)] * convolutions + [(2, 2)]]
seen = fields([*VGG16, (7, 1)])
names = ("pool1", "pool2", "pool3", "pool4", "pool5", "fc6")
after = [number for number, (_, stride) in enumerate(VGG16) if stride == 2] + [len(VGG16)]
for name, number in zip(names, after):
    print(f"{name}: sees {seen[number][0]:3} pixels, neighbours {seen[number][1]:2} apart")
convolutions = [layer for layer in VGG16 if layer[1] == 1]
print(
    f"\nthe {len(convolutions)} convolutions alone, without poolings: {fields(convolutions)[-1][0]} pixels\n"
)

alexnet = Network()
alexnet_stages(alexnet, np.random.default_rng(0), padding=0)
for name in ("conv1", "pool1", "pool2", "pool5"):
    seen_by = geometry.view(alexnet, name)
    print(f"AlexNet, {name}: sees {seen_by.field} pixels, neighbours {seen_by.stride} apart")

with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
    photograph = np.asarray(Image.open(file))
H, W, _ = photograph.shape
ax = figures.panels(1, height=4.2, width=4.6)
figures.image(ax, photograph.mean(axis=-1), f"fields of view on a photograph of {W} × {H}")
for name, number, colour in zip(names, after, plt.rcParams["axes.prop_cycle"].by_key()["color"]):
    field = seen[number][0]
    top, left = 215 - field / 2, 262 - field / 2
    figures.window(ax, top, left, field, field, colour, linewidth=2)
    ax.plot([], [], color=colour, label=f"{name}: {field}")
ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
plt.show()

# %% [markdown]
# A pixel of pool3 sees an eye, one of pool5 a head; one of fc6 sees that there is a person. That is what the
# strides are good for: the convolutions alone would see little. It is also what they cost: the pixels of fc6 are
# few and far between.
#
# You may read that the first pooling leaves a quarter of the size, or half of it. It is half in VGG16; in AlexNet,
# whose first convolution has a stride of 4, it is an eighth.
#
# ## What you now know
#
# * A rectifier is a gate, set in forward; max-pooling hands the gradient to the winner, average pooling shares it.
# * Padding for a maximum is $-\infty$. Ties and kinks have no gradient; libraries agree on one, checks keep away.
# * Pooling follows a shift only by multiples of its stride.
# * Each layer widens the field by (kernel - 1) times the strides before it. Backward from one pixel measures it.
#
# Next: what one does with such a map if a single answer is wanted, [a classifier](05_classifier.ipynb).
