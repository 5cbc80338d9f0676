# %% [markdown]
# # 8. FCN-32s, 16s, 8s
#
# **A network that has seen the whole picture knows what is there; who still knows where?** The layers before it.
# You will add their scores to its own, compute where to crop, send gradients through the whole network by your
# own loop, and train the three networks of the paper with it.

# %%
import figures
import numpy as np
from matplotlib.colors import to_rgb

from minifcn import check, geometry, losses, metrics, optim, set_threads
from minifcn.data import Shapes
from minifcn.initialize import bilinear
from minifcn.layers import ConvTranspose2d, Crop
from minifcn.models import fcn8s, fcn16s, fcn32s

set_threads(1)  # the same numbers, however many processors there are
names = Shapes.class_names
maps, held_out = Shapes(400, size=96, seed=0).labels, Shapes(100, size=96, seed=1).labels

# %% [markdown]
# ## The best that blobs can do
#
# FCN-32s has one score per class for 32 × 32 pixels, and interpolates. How good can that be? Leave the network
# away and choose the scores themselves: gradient descent, through the upsampling (lesson 7), for twenty pictures
# whose truth we know. Whoever has a bilinear kernel cannot do much better.


# %%
def best_scores(labels, stride, steps=60):
    """What scores at this stride, enlarged by a bilinear kernel, can say of the labels."""
    N, H, W = labels.shape
    layer = ConvTranspose2d(4, 4, 2 * stride, stride, padding=stride // 2, bias=False)
    layer.params["weight"][...] = bilinear(2 * stride, channels=4)
    scores = np.zeros((N, H // stride, W // stride, 4), np.float32)
    optimizer = optim.Adam({"scores": scores}, lr=0.5)
    for _ in range(steps):
        y, cache = layer.forward(scores)
        _, dy = losses.cross_entropy(y, labels)
        optimizer.step({"scores": layer.backward(N * dy, cache)[0]}, 0.5)
    return layer.forward(scores)[0].argmax(axis=-1)


def mean_iou(labels, predictions):
    return metrics.mean_iou(metrics.confusion(labels, predictions, len(names)))


shown = 17
panels = figures.panels(4, height=2.2)
for ax, stride in zip(panels, (32, 16, 8)):
    best = best_scores(held_out[:20], stride)
    figures.labels(ax, best[shown], f"at best, at stride {stride}")
    ax.set_xlabel(f"mean IU of the twenty: {mean_iou(held_out[:20], best):.2f}")
figures.labels(panels[3], held_out[shown], "truth")
figures.legend(panels[3], names)

# %% [markdown]
# What the left one lacks is not knowledge but *places*. It needs a map with smaller steps.
#
# ## Heads and skips
#
# Such maps are there, inside: pool4 has a stride of 16, pool3 of 8. They know less, for they have seen less of
# the picture. FCN-16s lets pool4 score the classes *as well*, and adds. FCN-8s does it once more, with pool3:

# %% tags=["thumbnail"]
SMALL = {"widths": (16, 16, 32, 32, 32), "convs": 1, "fc": 64}
models = {"FCN-32s": fcn32s, "FCN-16s": fcn16s, "FCN-8s": fcn8s}
TRUNK = ("image", "pool1", "pool2", "pool3", "pool4", "pool5", "fc7")


def readers(net, name, shown, through=()):
    """What is shown of what `name` reads, and the layers in between. A crop reads only a size of its second."""
    layer, reads = net.nodes[name]
    for source in reads[:1] if isinstance(layer, Crop) else reads:
        if source in shown:
            yield source, through
        else:
            yield from readers(net, source, shown, (*through, net.nodes[source].layer))


def sketch(ax, net, title):
    """Down on the left, up on the right, level by stride; sizes for a picture of 96 x 96."""
    shapes = net.shapes((1, 96, 96, 3))
    heads = [name for name in net.nodes if name.startswith(("score", "fuse")) and not name.endswith("c")]
    shown, place = [*TRUNK, *heads], {}
    for name in shown:
        level = np.log2(float(geometry.view(net, name).stride)) if name != "image" else 0
        x = level + (name == "fc7") if name in TRUNK else 14 - level
        place[name] = (7 if name.startswith("score_pool") else x), -level
    for name in shown[1:]:
        for source, through in readers(net, name, shown):
            skip = "score_pool" in name + source
            style = {"arrowstyle": "-|>", "color": figures.VERMILLION if skip else figures.GREY, "lw": 1.5}
            ax.annotate("", place[name], place[source], arrowprops=style | {"shrinkA": 7, "shrinkB": 7})
            for up in (layer for layer in through if isinstance(layer, ConvTranspose2d)):
                x, y = np.mean([place[name], place[source]], axis=0)
                ax.text(x - 0.3, y + 0.1, f"×{up.window.stride[0]}", fontsize=8, ha="right", va="bottom")
    for name, (x, y) in place.items():
        hue = figures.GREY if name in TRUNK else figures.VERMILLION if "score_pool" in name else figures.BLUE
        ax.plot(x, y, "o", color=hue, markersize=8)
        dx, dy, ha, va = (-0.5, 0, "right", "center") if name in TRUNK else (0.5, 0, "left", "center")
        if name in ("image", "score") or "score_pool" in name:
            dx, dy, ha, va = 0, 0.25, "center", "bottom"
        elif name in ("fc7", "score_fr"):
            dx, dy, ha, va = 0, -0.25, "center", "top"
        text = f"{name}\n{'×'.join(map(str, shapes[name][1:]))}" if name != "pool5" else ""
        ax.text(x + dx, y + dy, text, fontsize=7, linespacing=1.1, ha=ha, va=va)
    ax.set(xlim=(-2.2, 16.2), ylim=(-6, 0.9))
    ax.set_title(title, fontsize=10)
    ax.set_axis_off()


panels = figures.panels(3, height=3.4, width=3)
for ax, (title, model) in zip(panels, models.items()):
    sketch(ax, model(classes=4, rng=0, **SMALL), title)

# %% [markdown]
# These **skips** are often told wrongly. Three statements, and what the network says:
#
# * *"The kernels of conv4 deconvolve the enlarged map."* No: pool4 gets a **head** of its own, a 1 × 1
#   convolution to the classes.
# * *"pool4 is enlarged twice, conv7 four times, pool3 added."* No: twice, add, twice, add, then eight times.
# * *"The maps are concatenated."* (U-Net does.) They are **summed**: class by class, so both must score the same
#   classes.

# %%
net = fcn8s(classes=4, rng=0, **SMALL)
shapes = net.shapes((1, 96, 96, 3))
for name in ("score_pool4", "upscore2", "fuse_pool4", "upscore_pool4", "fuse_pool3", "upscore8"):
    layer, reads = net.nodes[name]
    kind = type(layer).__name__ + (f" {layer.window.kernel_size}" if layer.params else "")
    print(f"{name:14} {kind:24} reads {' + '.join(reads):30} gives {shapes[name][1:]}")

# %% [markdown]
# New heads start at zero. So FCN-16s, begun with the weights of a trained FCN-32s, starts with almost the same
# answer, and learns what to add. That is how the paper trained them, one after the other.
#
# ## Crops, computed
#
# Two maps can be added where they are of one size *and lie on each other*. The released networks pad the picture
# by 100 pixels, so that small ones survive the seven-pixel window of fc6. Then every skip is larger than what it
# is to be added to, and the last map larger than the picture. Something is cut off: not evenly, but from an
# **offset** on, `height` rows and `width` columns.
#
# ### Exercise: crop, and back
#
# What is cut off never reaches the loss. You know its gradient.


# %% tags=["exercise"]
def crop(x, height, width, offset):
    """The part of x (N, H, W, C) that starts at row offset[0] and column offset[1]."""
    raise NotImplementedError


def crop_backward(dy, input_shape, offset):
    """dx, of input_shape."""
    raise NotImplementedError


# %% tags=["solution"]
def crop(x, height, width, offset):
    """The part of x (N, H, W, C) that starts at row offset[0] and column offset[1]."""
    top, left = offset
    return x[:, top : top + height, left : left + width]


def crop_backward(dy, input_shape, offset):
    """dx, of input_shape."""
    dx = np.zeros(input_shape)
    crop(dx, dy.shape[1], dy.shape[2], offset)[...] = dy
    return dx


# %%
check.crop(crop)

# %%
check.crop_backward(crop_backward)

# %% [markdown]
# ## Where does a pixel lie?
#
# Along a line, pixel $i$ of a map lies at $a\,i + b$ of the picture. For the picture itself $a = 1$, $b = 0$. A
# layer with kernel $k$, stride $s$ and padding $p$ changes that:
#
# | | its pixel $i$ is centred on pixel … of its input | so |
# |---|---|---|
# | convolution, pooling | $s\,i + m$, where $m = (k-1)/2 - p$ | $b$ grows by $a\,m$, then $a$ by the factor $s$ |
# | upsampling | $(i - m)/s$ | $a$ is divided by $s$, then $b$ falls by $a\,m$ |
#
# Pixel $j + \mathrm{offset}$ of the one map must lie where pixel $j$ of the other lies.
#
# ### Exercise: the offset
#
# `layers` lead from the picture to the map that is cropped, `reference` to the one that it is to fit; each is a
# tuple `(kind, kernel, stride, padding)`, and kind is "conv", "pool" or "up". An empty list is the picture
# itself. Both maps have the same $a$.


# %% tags=["exercise"]
def crop_offset(layers, reference):
    """How many pixels of the one map come before pixel 0 of the other."""
    raise NotImplementedError


# %% tags=["solution"]
def crop_offset(layers, reference):
    """How many pixels of the one map come before pixel 0 of the other."""

    def place(path):
        a, b = 1, 0
        for kind, kernel, stride, padding in path:
            m = (kernel - 1) / 2 - padding
            if kind == "up":
                a = a / stride
                b = b - a * m
            else:
                b = b + a * m
                a = a * stride
        return a, b

    (a, b), (_, b_reference) = place(layers), place(reference)
    return (b_reference - b) / a


# %%
check.crop_offset(crop_offset)

# %% [markdown]
# The released networks' offsets are numbers in a text file, copied since by many without a reason. You can
# compute them. (Below, the library does, from the layers of the real FCN-8s, to which the last layers of its two
# sisters are added. A full VGG16 is made for it, half a gigabyte.)

# %%
released = {"16s: score": 27, "32s: score": 19, "8s: score": 31, "score_pool4": 5, "score_pool3": 9}
net = fcn8s(classes=21, backbone="vgg16", rng=0)
net.add("upscore16", ConvTranspose2d(21, 21, 32, 16, bias=False), "fuse_pool4")
net.add("upscore", ConvTranspose2d(21, 21, 64, 32, bias=False), "score_fr")
for name, node, onto in (
    ("32s: score", "upscore", "image"),
    ("16s: score", "upscore16", "image"),
    ("8s: score", "upscore8", "image"),
    ("score_pool4", "score_pool4", "upscore2"),
    ("score_pool3", "score_pool3", "upscore_pool4"),
):
    offset, _ = geometry.crop_offset(net, node, onto)
    print(f"{name:12} cropped to {onto:14} from {offset:2} on; released: {released[name]:2}")
size = net.shapes((1, 500, 500, 3))["upscore8"][1]
print(f"FCN-8s makes {size} pixels of 500: the middle would start at {(size - 500) // 2}")
del net

# %% [markdown]
# So a crop of the middle, as one often sees, shifts the whole answer.
#
# ## Backward through a graph
#
# A skip means that pool4 is read twice: by conv5_1 and by its head. On the way back it gets a gradient from each,
# and **gradients of one activation add**, for it reaches the loss along both paths. That is the only thing new.
# In a network every layer knows its own backward; what remains is a loop.
#
# Forward, all layers in their order:


# %%
def forward(nodes, images):
    """The scores, and what each layer keeps for its way back."""
    values, caches = {"image": images}, {}
    for name, (layer, reads) in nodes.items():
        values[name], caches[name] = layer.forward(*(values[source] for source in reads))
    return values[name], caches


# %% [markdown]
# ### Exercise: backward, all layers in reverse
#
# `layer.backward(dy, caches[name])` returns `(dx, grads)`. `grads` are the gradients of its parameters, by name.
# `dx` is an array, or a tuple with one for each of `reads`; None says that only a size was read, as a crop does
# with the picture.


# %% tags=["exercise"]
def network_backward(nodes, dscores, caches):
    """{"conv1_1.weight": its gradient, ...} for all parameters. The last of the nodes gives the scores."""
    raise NotImplementedError


# %% tags=["solution"]
def network_backward(nodes, dscores, caches):
    """{"conv1_1.weight": its gradient, ...} for all parameters. The last of the nodes gives the scores."""
    upstream, gradients = {list(nodes)[-1]: dscores}, {}
    for name in reversed(nodes):
        layer, reads = nodes[name]
        dx, grads = layer.backward(upstream.pop(name), caches[name])
        for key, gradient in grads.items():
            gradients[f"{name}.{key}"] = gradient
        for source, d in zip(reads, dx if isinstance(dx, tuple) else (dx,)):
            if d is not None:
                upstream[source] = upstream[source] + d if source in upstream else d
    return gradients


# %%
check.network_backward(network_backward)

# %% [markdown]
# ## Three networks, one budget
#
# Naming shapes by their outline alone takes minutes: the README has that table. For seconds we let colours name
# them, and hide them under noise: taken by itself, a pixel says little.


# %%
COLOURS = np.array([to_rgb(colour) for colour in figures.CLASS_COLOURS[: len(names)]], np.float32)


def photographed(labels, rng):
    """Each class in its colour, and noise as strong as the colours; 0 is grey."""
    noise = rng.standard_normal((*labels.shape, 3), np.float32)
    return 2 * COLOURS[labels] - 1 + noise


pictures = photographed(held_out, np.random.default_rng(1))
nearest = np.stack([((pictures - 2 * colour + 1) ** 2).sum(axis=-1) for colour in COLOURS], axis=-1).argmin(
    axis=-1
)

panels = figures.panels(3, height=2.4)
figures.image(panels[0], (pictures[shown] / 2 + 0.5).clip(0, 1), "picture")
figures.labels(panels[1], nearest[shown], f"nearest colour: mean IU {mean_iou(held_out, nearest):.2f}")
figures.labels(panels[2], held_out[shown], "truth")

# %% [markdown]
# Now train, with **your** loop if its check says right, else with the library's. Same pictures, same number of
# steps for each network.

# %%
mine = check.network_backward(network_backward).right
print("backward:", "yours" if mine else "the library's")


def gradients(net, pictures, labels, loss):
    scores, kept = forward(net.nodes, pictures) if mine else net.forward(pictures)
    dscores = loss(scores, labels)[1].astype(np.float32)
    return network_backward(net.nodes, dscores, kept) if mine else net.backward(dscores, kept)


def train(model, maps, loss=losses.cross_entropy, steps=300):
    net, rng = model(classes=len(names), rng=0, **SMALL), np.random.default_rng(2)
    optimizer, rate = optim.Adam(net.params, lr=0.004, betas=(0.9, 0.99)), optim.one_cycle(0.004, steps)
    for step in range(steps):
        labels = maps[rng.integers(len(maps), size=4)]
        optimizer.step(gradients(net, photographed(labels, rng), labels, loss), rate(step))
    return net


nets = {"FCN-32s": train(fcn32s, maps)}

# %%
nets["FCN-16s"] = train(fcn16s, maps)

# %%
nets["FCN-8s"] = train(fcn8s, maps)

# %%
predictions = {name: net(pictures).argmax(axis=-1) for name, net in nets.items()}
PAPER = {"FCN-32s": 59.4, "FCN-16s": 62.4, "FCN-8s": 62.7}  # Long, Shelhamer & Darrell (2015), table 2
print("mean IU    here  in the paper")
for name, prediction in predictions.items():
    print(f"{name:9} {100 * mean_iou(held_out, prediction):5.1f}  {PAPER[name]:12}")

grid = figures.panels(5, 4, height=1.72)
for k, (above, below) in zip((17, 51), (grid[:2], grid[2:])):
    figures.image(above[0], (pictures[k] / 2 + 0.5).clip(0, 1), "picture")
    for column, (name, prediction) in enumerate(predictions.items(), start=1):
        figures.labels(above[column], prediction[k], name)
        wrong = prediction[k] != held_out[k]
        figures.matrix(below[column], -wrong.astype(float), f"wrong: {wrong.mean():.1%}", numbers=False)
    figures.labels(above[4], held_out[k], "truth")
    below[0].set_axis_off()
    below[4].set_axis_off()
figures.legend(grid[0, 0], names)

# %% [markdown]
# The order is the paper's: each skip makes the outline finer, and the second gives less than the first. On
# photographs of 500 pixels, a step of 32 hurts less than on ours of 96. (Ours learn their upsampling kernels,
# too. So FCN-32s draws better than the blobs that we began with.) A skip to pool2 is possible; the authors saw
# diminishing returns and stopped.
#
# ## Dice, when classes are rare
#
# Cross-entropy is a mean over pixels. A class with one pixel in a hundred has a hundredth of the say. The
# **Dice** loss compares areas instead, and every class has the same say. With $p$ the probability and $g$ the
# one-hot label, sums over all pixels that count, for each class:
#
# $$I = \sum p\,g \qquad B = \sum p + \sum g \qquad D = 2I/B \qquad L = 1 - \mathrm{mean}\ D$$
#
# The mean is over the classes that occur. ($D$ of an absent one would be 0 whatever you do.) The sums run over
# the whole batch.
#
# ## The gradient of a quotient
#
# Both $I$ and $B$ grow with $p$: $\;\partial D/\partial p = 2\,(g\,B - I)/B^2$. Then comes the softmax of
# lesson 5: $\;ds_k = p_k\,(dp_k - \sum_j p_j\,dp_j)$.
#
# ### Exercise: Dice


# %% tags=["exercise"]
def dice(scores, labels):
    """The value and dscores, in float64, without a smoothing term. 255 does not count; some pixel does."""
    raise NotImplementedError


# %% tags=["solution"]
def dice(scores, labels):
    """The value and dscores, in float64, without a smoothing term. 255 does not count; some pixel does."""
    valid = labels != 255
    p = losses.softmax(scores[valid].astype(np.float64))  # (pixels, K)
    g = (labels[valid][:, None] == np.arange(scores.shape[-1])).astype(np.float64)
    overlap, B = (p * g).sum(axis=0), (p + g).sum(axis=0)
    occurs = g.any(axis=0)
    dp = -2 * occurs * (g * B - overlap) / B**2 / occurs.sum()
    dscores = np.zeros(scores.shape)
    dscores[valid] = p * (dp - (p * dp).sum(axis=-1, keepdims=True))
    return 1 - (2 * overlap / B)[occurs].mean(), dscores


# %%
check.dice(dice)

# %% [markdown]
# How loudly does a class call? All pixels of a class get the probability $p$ for it; here is the sum of their
# gradients:


# %%
def call(loss, share, p, pixels=10_000):
    """The sum of |dscores| of the right class, over the pixels of a class with this share of the picture."""
    labels = (np.arange(pixels) < share * pixels).astype(np.uint8).reshape(1, 1, -1)
    right = np.where(labels == 1, p, 0.999)
    scores = np.log(np.where(labels[..., None] == [0, 1], right[..., None], 1 - right[..., None]))
    return np.abs(loss(scores, labels)[1][labels == 1, 1]).sum()


p = np.geomspace(1e-3, 0.99, 50)
ax = figures.panels(1, height=3, width=6)
for share, style in ((0.1, "-"), (0.01, "--")):
    for loss, name, colour in (
        (losses.cross_entropy, "cross-entropy", figures.BLUE),
        (losses.dice, "Dice", figures.VERMILLION),
    ):
        calls = [call(loss, share, one) for one in p]
        ax.loglog(p, calls, style, color=colour, label=f"{name}, {share:.0%} of the pixels")
ax.set(xlabel="p at the pixels of the class", ylabel="sum of their gradients", ylim=(1e-5, 1))
ax.legend(frameon=False, fontsize=8)
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# Cross-entropy hears a rare class ten times less if it is ten times rarer. Dice hears both alike, **unless $p$ is
# nearly 0**: there the softmax hands on next to nothing. A network that has once given a class up gets no call to
# return. So try three losses on small shapes, with the same FCN-8s and budget: cross-entropy, Dice, and their
# sum.


# %%
def pasted(count, seed, size=40):
    """Label maps 96 x 96 with shapes drawn on a patch of `size`, somewhere."""
    rng = np.random.default_rng(seed)
    small = Shapes(count, size=size, seed=seed).labels
    large = np.zeros((count, 96, 96), np.uint8)
    for one, patch in zip(large, small):
        top, left = rng.integers(0, 96 - size + 1, 2)
        one[top : top + size, left : left + size] = patch
    return large


rare, rare_held_out = pasted(400, seed=3), pasted(100, seed=4)
shares = np.bincount(rare.ravel(), minlength=len(names)) / rare.size
print("share of the pixels:", {name: f"{share:.1%}" for name, share in zip(names, shares)})
by_loss = {"cross-entropy": train(fcn8s, rare, steps=200)}

# %%
mine_dice = dice if check.dice(dice).right else losses.dice
by_loss["Dice"] = train(fcn8s, rare, mine_dice, steps=200)

# %%
by_loss["sum of both"] = train(
    fcn8s, rare, losses.weighted_sum((1, losses.cross_entropy), (1, mine_dice)), steps=200
)

# %%
pictures = photographed(rare_held_out, np.random.default_rng(5))
k = np.argmax([len(np.unique(labels)) for labels in rare_held_out])  # one with all classes
panels = figures.panels(5, height=1.75)
figures.image(panels[0], (pictures[k] / 2 + 0.5).clip(0, 1), "picture")
for ax, (name, net) in zip(panels[1:], by_loss.items()):
    prediction = net(pictures).argmax(axis=-1)
    figures.labels(ax, prediction[k], name)
    ious = metrics.iou(metrics.confusion(rare_held_out, prediction, len(names)))
    print(f"{name:14} IU:", "  ".join(f"{label} {iou:.2f}" for label, iou in zip(names, ious)))
figures.labels(panels[4], rare_held_out[k], "truth")
figures.legend(panels[4], names)

# %% [markdown]
# Neither is enough alone. Cross-entropy has not got far with the rarest; Dice, from scratch, gives all up. In the
# sum, the one calls them back and the other makes them heard. (You may read that the FCN paper weights its
# classes. It does not: with three quarters of background, it found that unnecessary.)
#
# ## What you now know
#
# * Interpolated scores make blobs; a skip adds the scores of an earlier map with smaller steps. Summed, not
#   concatenated.
# * Where a pixel lies is a line, $a\,i + b$; crops follow from it, and FCN's 19, 27, 31, 5 and 9 with them.
# * Backward through a network is a loop in reverse. What is read twice gets the sum of two gradients.
# * 32s, 16s, 8s: the paper's order, trained by your own loop.
# * Dice gives each class one voice; from scratch, it wants cross-entropy beside it.
#
# There is nothing left in an FCN that you have not written.
