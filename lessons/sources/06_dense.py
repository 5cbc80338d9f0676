# %% [markdown]
# # 6. Fully connected is convolution
#
# **What does a classifier, made for windows of 32 × 32 pixels, say to a picture of 112 × 152?** An error. By the
# end of this lesson it will say what is where, at every pixel, and no layer or weight will have been added.

# %%
import time

import figures
import matplotlib.pyplot as plt
import numpy as np

from minifcn import check, inference, losses, models, optim, set_threads, surgery
from minifcn.data import Shapes
from minifcn.data.shapes import Object, draw
from minifcn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from minifcn.models.backbones import vgg_stages
from minifcn.network import Network

set_threads(1)  # the networks are too small for two threads; and one gives the same numbers on every machine
CIRCLE, SQUARE, TRIANGLE = 1, 2, 3
names = Shapes.class_names


def prepared(pictures):
    """Numbers about 0, of a size of about 1."""
    return (pictures.astype(np.float32) - 128) / 64


objects = [
    Object(CIRCLE, 24, 24, 13, 0),
    Object(SQUARE, 30, 72, 15, 0.3),
    Object(TRIANGLE, 28, 122, 17, 0.2),
    Object(TRIANGLE, 78, 30, 17, 1),
    Object(CIRCLE, 80, 80, 17, 0),
    Object(SQUARE, 84, 126, 15, 0.9),
]
picture, truth = draw(np.random.default_rng(3), objects, 112, 152)
net = models.window_net(classes=4, rng=0)
try:
    net(prepared(picture)[None])
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# The convolutions do not mind a larger picture. It is the first fully connected layer, `fc6`, that has a weight for
# each feature of a *window*, and no more.
#
# ## The reshape
#
# Look at one output of such a layer. It flattens the features, here 2 × 3 places with 2 channels, multiplies each
# with a weight, and adds up:

# %%
rng = np.random.default_rng(1)
features = rng.integers(-2, 4, (2, 3, 2))
weight = rng.integers(-2, 3, 12)
kernel = weight.reshape(2, 3, 2)

top = figures.panels(1, 2, height=0.55, width=6)
for ax, row, title in zip(top, (features.ravel(), weight), ("features, flattened", "weights of one output")):
    figures.matrix(ax, row, title, limit=4)
bottom = figures.panels(4, height=1.2, width=1.9)
for c in (0, 1):
    figures.matrix(bottom[c], features[..., c], f"features, channel {c}", limit=4)
    figures.matrix(bottom[2 + c], kernel[..., c], f"weights, channel {c}", limit=4)
print("flattened:", features.ravel() @ weight, "  as a window with its kernel:", np.sum(features * kernel))

# %% [markdown]
# Below, the same numbers stand where their features are: **a kernel as large as its input**. A fully connected
# layer is a convolution whose window fits only once. As channels are last and rows are read one by one, nothing has
# to move.
#
# ### Exercise: the kernel


# %% tags=["exercise"]
def to_conv(weight, input_shape):
    """The kernel (H, W, C, outputs) of a weight (inputs, outputs), for features of input_shape (H, W, C)."""
    raise NotImplementedError


# %% tags=["solution"]
def to_conv(weight, input_shape):
    """The kernel (H, W, C, outputs) of a weight (inputs, outputs), for features of input_shape (H, W, C)."""
    return weight.reshape(*input_shape, -1)


# %%
check.to_conv(to_conv)

# %% [markdown]
# Fully connected layers behind it see one place with many channels: 1 × 1 kernels. Popular posts say that all three
# of VGG16 become 1 × 1. The first does not:

# %%
vgg16 = Network()
vgg_stages(vgg16, np.random.default_rng(0), (64, 128, 256, 512, 512), (2, 2, 3, 3, 3), ceil_mode=False)
pool5 = vgg16.shapes((1, 224, 224, 3))["pool5"][1:]
for name, inputs, outputs in (("fc6", pool5, 4096), ("fc7", (1, 1, 4096), 4096), ("fc8", (1, 1, 4096), 1000)):
    print(f"{name} of VGG16: kernel {'x'.join(map(str, inputs))}, {outputs} of them")

fcn = surgery.convolutionize(net, input_shape=(32, 32, 3))  # every layer; the weights are the same memory
print("\nours:", {name: fcn.params[f"{name}.weight"].shape for name in ("fc6", "fc7")})
print(
    "scores of one window",
    net(prepared(picture)[None, :32, :32]).shape,
    "as a map",
    fcn(prepared(picture)[None, :32, :32]).shape,
)

# %% [markdown]
# What is 1 × 1 is the *output*, if the picture has the size that the network was made for.
#
# ## One pass, every window
#
# On a larger picture there is room for the window of fc6 at more places. Each gives the scores that the classifier
# would give for one window of the picture, and neighbouring windows lie as many pixels apart as the strides
# multiply to: 4.
#
# ### Exercise: the size of the map


# %% tags=["exercise"]
def heat_map_size(size, window, stride):
    """How many windows, `stride` pixels apart, lie within `size` pixels? One at least fits."""
    raise NotImplementedError


# %% tags=["solution"]
def heat_map_size(size, window, stride):
    """How many windows, `stride` pixels apart, lie within `size` pixels? One at least fits."""
    return (size - window) // stride + 1


# %%
check.heat_map_size(heat_map_size)

# %% [markdown]
# To see something, train. Lesson 5 cut out windows. No need: run **whole pictures**, compare every number of the
# map with the class of the pixel in the middle of its window. That is a step on all windows at once:

# %%
shapes = Shapes(1000, size=56, seed=5)
images, labels = prepared(shapes.images), np.ascontiguousarray(shapes.labels[:, 16:-15:4, 16:-15:4])
net.params["fc7.weight"][...] = 0  # at first all classes are alike
optimizer, rate = optim.Adam(fcn.params), optim.one_cycle(1e-2, 500)
rng = np.random.default_rng(0)
for step in range(500):  # the first step compiles kernels, once
    chosen = rng.integers(len(images), size=16)
    scores, tape = fcn.forward(images[chosen])
    value, dscores = losses.cross_entropy(scores, labels[chosen])
    optimizer.step(fcn.backward(dscores, tape), rate(step))

# %% [markdown]
# Is it the same step, though? The gradient of one picture, beside the one of its windows, cut out and given to the
# classifier:

# %%
scores, tape = fcn.forward(images[:1])
_, dscores = losses.cross_entropy(scores, labels[:1])
whole = fcn.backward(dscores, tape)

places = [(i, j) for i in range(0, 56 - 31, 4) for j in range(0, 56 - 31, 4)]
scores, tape = net.forward(np.stack([images[0, i : i + 32, j : j + 32] for i, j in places]))
_, dscores = losses.cross_entropy(scores[:, None, None], labels[0].reshape(-1, 1, 1))
in_windows = net.backward(dscores[:, 0, 0], tape)
difference = max(
    np.abs(whole[name].ravel() - g.ravel()).max() / np.abs(g).max() for name, g in in_windows.items()
)
print(f"a map of {labels.shape[1]} x {labels.shape[2]}, {len(places)} windows;", end=" ")
print(f"largest difference of the gradients, relatively: {difference:.0e}")

# %% [markdown]
# And now the large picture. One pass, a heat map for each class:

# %% tags=["thumbnail"]
p = losses.softmax(fcn(prepared(picture)[None]))[0]
shown = {
    (2, 2): figures.ORANGE,
    (4, 14): figures.SKY,
    (10, 17): "white",
}  # windows, by their place in the map

figure = plt.figure(figsize=(9, 3.9), dpi=figures.DPI, layout="constrained")
grid = figure.add_gridspec(2, 4, width_ratios=(2, 1, 1, 1))
ax = figure.add_subplot(grid[:, 0])
figures.image(ax, picture, f"picture, {picture.shape[0]} × {picture.shape[1]}")
for (i, j), colour in shown.items():
    figures.window(ax, 4 * i, 4 * j, 32, 32, colour)
maps = {names[k]: p[..., k] for k in (1, 2, 3, 0)}
for place, (name, map) in zip((grid[0, 1], grid[0, 2], grid[0, 3], grid[1, 1]), maps.items()):
    ax = figure.add_subplot(place)
    ax.imshow(map, cmap="cividis", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.set_title(name, fontsize=10)
    for (i, j), colour in shown.items():
        figures.window(ax, i, j, 1, 1, colour, linewidth=1.5)
for place, map, title in (
    (grid[1, 2], p.argmax(axis=-1), "largest score"),
    (grid[1, 3], truth[16:-15:4, 16:-15:4], "truth there"),
):
    figures.labels(figure.add_subplot(place), map.astype(np.uint8), title)
figures.legend(ax, names)
right = np.mean(p.argmax(axis=-1) == truth[16:-15:4, 16:-15:4])
print(f"map {p.shape[0]} x {p.shape[1]}; {right:.1%} of its places are right")

# %% [markdown]
# Each framed window of the picture is one framed place in the maps. Move it:

# %% tags=["widget"]
import ipywidgets


@ipywidgets.interact(row=(0, p.shape[0] - 1), column=(0, p.shape[1] - 1))
def look(row=8, column=8):
    left, middle, right = figures.panels(3, height=2)
    figures.image(left, picture)
    figures.window(left, 4 * row, 4 * column, 32, 32)
    figures.image(
        middle, picture[4 * row : 4 * row + 32, 4 * column : 4 * column + 32], "what the classifier sees"
    )
    right.barh(names, p[row, column], color=figures.CLASS_COLOURS[:4], edgecolor=figures.GREY)
    right.set(xlim=(0, 1), title="what it says")
    plt.show()


# %% [markdown]
# ## In which order was it flattened?
#
# PyTorch and Caffe put channels first, and flatten C, H, W: all of channel 0, then all of channel 1. We flatten H,
# W, C: all channels of a pixel, then the next pixel. The place of each feature in the row:

# %%
H, W, C = 2, 3, 2
ours, theirs = np.arange(12).reshape(H, W, C), np.arange(12).reshape(C, H, W)
panels = figures.panels(4, height=1.2, width=2)
for c in (0, 1):
    figures.matrix(panels[c], ours[..., c], f"H, W, C: channel {c}", limit=20)
    figures.matrix(panels[2 + c], theirs[c], f"C, H, W: channel {c}", limit=20)

# %% [markdown]
# ### Exercise: from theirs to ours


# %% tags=["exercise"]
def from_chw(weight, input_shape):
    """The weight (inputs, outputs), whose inputs were flattened C, H, W, for inputs flattened H, W, C."""
    raise NotImplementedError


# %% tags=["solution"]
def from_chw(weight, input_shape):
    """The weight (inputs, outputs), whose inputs were flattened C, H, W, for inputs flattened H, W, C."""
    H, W, C = input_shape
    return weight.reshape(C, H, W, -1).transpose(1, 2, 0, 3).reshape(weight.shape)


# %%
check.from_chw(from_chw)

# %% [markdown]
# Shapes fit in either order, so nobody complains. This is what happens to the heat maps if one forgets:

# %%
ours = fcn.params["fc6.weight"].copy()
theirs = ours.transpose(2, 0, 1, 3).reshape(-1, 64)  # as another library would store it
fcn.params["fc6.weight"][...] = theirs.reshape(4, 4, 64, 64)
forgotten = fcn(prepared(picture)[None])[0].argmax(axis=-1)
fcn.params["fc6.weight"][...] = ours
centres = truth[16:-15:4, 16:-15:4]
panels = figures.panels(2, height=1.8, width=2.8)
for ax, map, title in zip(panels, (p.argmax(axis=-1), forgotten), ("right order", "order forgotten")):
    figures.labels(ax, map.astype(np.uint8), f"{title}: {np.mean(map == centres):.1%} right")

# %% [markdown]
# ## Where the equality ends
#
# The famous example: VGG16 on 384 × 384 pixels, instead of 224.

# %%
pool5 = vgg16.shapes((1, 384, 384, 3))["pool5"]
print(f"384 pixels: pool5 is {pool5[1]} x {pool5[2]}, so the 7 x 7 kernel of fc6 fits at", end=" ")
print(f"{pool5[1] - 7 + 1} x {pool5[2] - 7 + 1} places")
print("windows of 224 pixels, 32 apart:", (384 - 224) // 32 + 1, "along each side")

# %% [markdown]
# The sizes are right: 36 windows, 36 places. The posts go on: "identical to 36 crops". Measure it. Here is VGG16's
# geometry with an eighth of its channels; first with convolutions that do not pad, then padded by 1 as in the
# original.


# %%
def vgg(padding):
    """VGG16 with few channels: 224 x 224 pixels -> 10 scores."""
    rng, net, channels = np.random.default_rng(0), Network((1, 224, 224, 3)), 3
    for stage, (width, depth) in enumerate(zip((8, 16, 32, 64, 64), (2, 2, 3, 3, 3)), start=1):
        for k in range(1, depth + 1):
            net.add(f"conv{stage}_{k}", Conv2d(channels, width, 3, padding=padding, rng=rng))
            net.add(f"relu{stage}_{k}", ReLU())
            channels = width
        net.add(f"pool{stage}", MaxPool2d(2))
    shape = net.shapes(net.image_shape)[net.output]
    net.add("flatten", Flatten())
    net.add("fc6", Linear(np.prod(shape[1:]), 10, rng=rng))
    return net


large = prepared(Shapes(1, size=384, seed=2)[0][0])
panels = figures.panels(3, height=2.6, width=3)
for ax, padding in zip(panels, (0, 1)):
    classifier = vgg(padding)
    dense = surgery.convolutionize(classifier, (224, 224, 3))
    one_pass, crops = dense(large[None])[0], inference.sliding_window(classifier, large, 224, 32)
    difference = np.abs(one_pass - crops).max(axis=-1) / np.abs(crops).max()
    print(f"padding {padding}: largest difference {difference.max():.1e} of the largest score")
    figures.matrix(ax, (100 * difference).round(), f"padding {padding}: scores, %", limit=40)
crop = dense.activations(large[None, 64:288, 64:288], ["pool5"])["pool5"][0]
same = dense.activations(large[None], ["pool5"])["pool5"][0, 2:9, 2:9]
off = 100 * np.abs(crop - same).max(axis=-1) / np.abs(same).max()
figures.matrix(panels[2], off.round(), "padding 1: pool5 of one crop, %", limit=40)

# %% [markdown]
# **Without padding, one pass is the sliding window, but for rounding. With padding it is not**: at its border a
# crop sees zeros where the picture has pixels. On the right, pool5 of one crop beside the same place of the one
# pass: the same in the middle only. So of all networks it is VGG16 that the famous claim is not true for. (Two more
# conditions: windows lie the product of the strides apart, and pooling rounds down.)
#
# ## A finer stride, by shifts
#
# VGG16 gives a score every 32 pixels. For one every 16, move the picture: up by 16 pixels, left by 16, both.
# Together with the first that makes four passes, whose maps are **interlaced**; for a stride f times as fine, f²
# passes:

# %%
tints = np.array([[1, 2], [3, 4]])
panels = figures.panels(5, height=1.6)
for ax, (a, b) in zip(panels, np.ndindex(2, 2)):
    figures.labels(ax, np.full((3, 3), tints[a, b], np.uint8), f"up {16 * a}, left {16 * b}")
figures.labels(panels[4], np.tile(tints, (3, 3)).astype(np.uint8), "interlaced")
for ax in panels:
    n = len(ax.images[0].get_array())
    ax.hlines(np.arange(n - 1) + 0.5, -0.5, n - 0.5, color="white", linewidth=1)
    ax.vlines(np.arange(n - 1) + 0.5, -0.5, n - 0.5, color="white", linewidth=1)

# %% [markdown]
# ### Exercise: interlace
#
# `maps[a][b]` comes from the picture moved up by a steps and left by b. Mind that a moved picture is smaller, so
# later maps may lack a row or a column.


# %% tags=["exercise"]
def interlace(maps):
    """The dense map (rows, columns, K) of f lists of f maps, each (h, w, K)."""
    raise NotImplementedError


# %% tags=["solution"]
def interlace(maps):
    """The dense map (rows, columns, K) of f lists of f maps, each (h, w, K)."""
    f = len(maps)
    rows, columns = sum(len(row[0]) for row in maps), sum(map.shape[1] for map in maps[0])
    dense = np.empty((rows, columns, maps[0][0].shape[2]), maps[0][0].dtype)
    for a in range(f):
        for b in range(f):
            dense[a::f, b::f] = maps[a][b]
    return dense


# %%
check.interlace(interlace)

# %%
panels = figures.panels(4, height=1.75, width=2.25)
for ax, stride in zip(panels, (4, 2, 1)):
    map = inference.shift_and_stitch(fcn, prepared(picture), stride).argmax(axis=-1)
    right = np.mean(map == truth[16:-15:stride, 16:-15:stride])
    figures.labels(ax, map.astype(np.uint8), f"stride {stride}: {right:.1%} right")
figures.labels(panels[3], truth[16:-15, 16:-15], "truth")
stitched = inference.shift_and_stitch(fcn, prepared(picture), 1)
dilated = surgery.densify(fcn, 1)(prepared(picture)[None])[0]
difference = np.abs(dilated - stitched).max() / np.abs(stitched).max()
print(
    f"the same map in one pass, by kernels that are dilated where the stride was taken out: {difference:.0e} off"
)

# %% [markdown]
# A classifier of windows has segmented the picture. Long, Shelhamer and Darrell, whose FCN this course builds,
# tried these shifts and left them: sixteen times the work for details that the network sees no better. Lesson 7 has
# a cheaper way.
#
# ## Patches against pixels
#
# Before, people did cut out a patch for every pixel: 15 × 15 is usual. How much is computed again and again?

# %%
rng, patch_net = np.random.default_rng(0), Network((1, 15, 15, 3))
patch_net.add("conv1", Conv2d(3, 16, 7, rng=rng))
patch_net.add("relu1", ReLU())
patch_net.add("flatten", Flatten())
patch_net.add("fc", Linear(9 * 9 * 16, 4, rng=rng))
dense_net = surgery.convolutionize(patch_net, (15, 15, 3))

padded = np.pad(
    prepared(shapes.images[0]), ((7, 7), (7, 7), (0, 0)), mode="reflect"
)  # a patch for border pixels, too
pixels = 56 * 56
patches = pixels * surgery.multiply_adds(patch_net, (1, 15, 15, 3))
one_pass = surgery.multiply_adds(dense_net, (1, *padded.shape))
print(f"{pixels:,} patches of 15 x 15 have {pixels * 15 * 15:,} pixels: {15 * 15} times those of the picture")
print(
    f"multiplications: {patches:,} for the patches, {one_pass:,} in one pass: {patches / one_pass:.1f} times"
)

# %% tags=["timing"]
ways = {
    "patches": lambda: inference.sliding_window(patch_net, padded, window=15, stride=1),
    "one pass": lambda: dense_net(padded[None])[0],
}
results = {name: way() for name, way in ways.items()}  # the first call compiles
for name, way in ways.items():
    began = time.perf_counter()
    way()
    print(f"{name:9} {1000 * (time.perf_counter() - began):6.1f} ms")
print("largest difference:", np.abs(results["patches"] - results["one pass"]).max())

# %% [markdown]
# ## What you now know
#
# - A fully connected layer is a convolution with a kernel as large as its input. For channels last it is a reshape;
#   weights flattened in another order have to be reordered first.
# - So a classifier runs on any picture, and gives a map of scores. Training on whole pictures is training on all
#   windows.
# - The map equals a sliding window exactly where nothing is padded. For padded networks, VGG16 among them, it does
#   not.
# - Shifted passes make the map as fine as you like, at the price of a pass for each shift.
#
# Next: such a map made as large as the picture, [upsampling](07_upsampling.ipynb).
