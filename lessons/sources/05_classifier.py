# %% [markdown]
# # 5. A classifier
#
# **A picture goes in, one word comes out: how does a network decide, what does it pay for it, and where did it
# look?** Convolutions turn a picture into features. This lesson is about what comes behind them: the layers that
# make a verdict of features, and the loss that teaches them.

# %%
import figures
import matplotlib.pyplot as plt
import numpy as np

from minifcn import check, losses, models, optim, set_threads, surgery
from minifcn.data import Shapes
from minifcn.geometry import view
from minifcn.models.backbones import alexnet_stages, vgg_stages
from minifcn.network import Network

set_threads(1)  # the networks are too small for two threads; and one gives the same numbers on every machine
SIZE = 32  # of a window


def cut(count, seed):
    """Windows cut out of toy pictures: around each shape, and one without any where there is room for it."""
    rng, shapes = np.random.default_rng(seed), Shapes(count, size=(56, 112), seed=seed)
    windows, labels = [], []
    for (picture, truth), objects in zip(shapes, shapes.objects):
        H, W = truth.shape
        places = [(o.y - SIZE / 2, o.x - SIZE / 2, o.label) for o in objects]
        free = [(y, x, 0) for y, x in rng.integers(0, (H - SIZE + 1, W - SIZE + 1), (20, 2))]
        free = [(y, x, 0) for y, x, _ in free if not truth[y : y + SIZE, x : x + SIZE].any()]
        for y, x, label in (*places, *free[:1]):
            y, x = np.clip(
                np.rint((y, x)) + rng.integers(-4, 5, 2) * (label > 0), 0, (H - SIZE, W - SIZE)
            ).astype(int)
            windows.append(picture[y : y + SIZE, x : x + SIZE])
            labels.append(label)
    return np.stack(windows), np.array(labels, np.uint8)


def prepared(pictures):
    """Numbers about 0, of a size of about 1."""
    return (pictures.astype(np.float32) - 128) / 64


names = Shapes.class_names
windows, labels = cut(1200, seed=5)
test_windows, test_labels = cut(200, seed=6)
print("windows", windows.shape, "and for the test", len(test_windows))
for ax, k in zip(figures.panels(8, height=1.1), range(8)):
    figures.image(ax, windows[k], names[labels[k]])

# %% [markdown]
# Each window has one label: the shape that it was cut around, or background. (Lesson 1 had a label for every pixel.
# We will be back there in lesson 6.)
#
# ## A fully connected layer
#
# Flatten the features of a window into one long row $x$. A **fully connected layer** gives each class a weight for
# every feature and adds up: $y = x w + b$. A batch of N windows has N rows:

# %%
x = np.array([[1, 2, -2, 2], [0, 1, 3, -1], [2, -2, 1, 1]])
w, b = np.array([[1, 0], [-1, 2], [1, -1], [2, 1]]), np.array([[1, -1]])
y, dy = x @ w + b, np.array([[1, 0], [-1, 2], [0, 1]])


def products(*parts):
    """Matrices in a row, each with its name and the sign behind it, cells of one size."""
    columns = [array.shape[1] for array, _, _ in parts]
    axes = figures.panels(len(parts), height=1.7, width=0.4 * max(columns), ratios=columns)
    plt.gcf().get_layout_engine().set(w_pad=0.12)
    for ax, (array, name, sign) in zip(axes, parts):
        figures.matrix(ax, array, name, limit=6)
        ax.text(1.0, 0.5, f"  {sign}", transform=ax.transAxes, fontsize=13, va="center")


products((x, "x", "·"), (w, "w", "+"), (b, "b", "="), (y, "y", ""))

# %% [markdown]
# ## The way back
#
# Lesson 3 did this for patches. A window is one single patch, so the products are the same. b is added to every
# row, so its gradient is a sum over rows:

# %%
weight = (x.T, "xᵀ", "·"), (dy, "dy", "="), (x.T @ dy, "dw", ",")
products(*weight, (dy, "dy", "·"), (w.T, "wᵀ", "="), (dy @ w.T, "dx", ","), (dy.sum(axis=0)[None], "db", ""))

# %% [markdown]
# ### Exercise: its gradients


# %% tags=["exercise"]
def linear_backward(dy, x, w):
    """(dx, dw, db) of y = x w + b, where x is (N, inputs), w (inputs, outputs), dy (N, outputs)."""
    raise NotImplementedError


# %% tags=["solution"]
def linear_backward(dy, x, w):
    """(dx, dw, db) of y = x w + b, where x is (N, inputs), w (inputs, outputs), dy (N, outputs)."""
    return dy @ w.T, x.T @ dy, dy.sum(axis=0)


# %%
check.linear_backward(linear_backward)

# %% [markdown]
# ## From scores to probabilities
#
# The outputs are **scores** $s$: any numbers, the largest wins. To learn, one wants more: how sure? **Softmax**
# makes them positive, then makes them add up to 1:
#
# $$p_k = \frac{e^{s_k}}{\sum_j e^{s_j}}$$

# %%
s = np.array([1.0, 3.0, 2.0, -1.0])
steps = {"scores s": s, "exp(s)": np.exp(s), "divided by their sum: p": losses.softmax(s)}
for ax, (title, values) in zip(figures.panels(3, height=1.7, width=2.9), steps.items()):
    bars = ax.bar(names, values, color=figures.CLASS_COLOURS[:4], edgecolor=figures.GREY)
    ax.bar_label(bars, fmt="{:.2g}", fontsize=8, padding=2)
    ax.set_title(title, fontsize=10)
    ax.axhline(0, color=figures.GREY, linewidth=0.8)
    ax.margins(y=0.2)
    ax.tick_params(labelsize=7, length=0)
    ax.set_yticks([])
    ax.spines[:].set_visible(False)

# %% [markdown]
# ## Large scores
#
# exp grows fast. Add the same number to all four scores: softmax should not change, as it cancels in the ratio. On
# paper.

# %%
shifts = np.array([0, 300, 600, 900, -600, -900])
with np.errstate(all="ignore"):
    plain = np.stack([np.exp(s + shift) / np.exp(s + shift).sum() for shift in shifts])
stable = np.stack([losses.softmax(s + shift) for shift in shifts])
rows = [f"s + {shift}" if shift >= 0 else f"s - {-shift}" for shift in shifts]
left, right = figures.panels(2, height=2.1, width=3.4)
for ax, values, title in ((left, plain, "as the formula says"), (right, stable, "largest score subtracted")):
    figures.matrix(ax, values, title, limit=1)
    ax.set_yticks(range(len(rows)), rows, fontsize=8)
    ax.set_aspect("auto")
for row, column in np.argwhere(np.isnan(plain)):
    left.text(column, row, "NaN", ha="center", va="center", fontsize=8)
print("np.exp(900) =", end=" ")
with np.errstate(all="ignore"):
    print(np.exp(900.0), "  np.exp(-900) =", np.exp(-900.0))

# %% [markdown]
# So subtract the largest score of each row first. The largest exp is then $e^0 = 1$.
#
# ### Exercise: softmax


# %% tags=["exercise"]
def softmax(scores):
    """Probabilities (N, classes) of scores (N, classes), however large these are."""
    raise NotImplementedError


# %% tags=["solution"]
def softmax(scores):
    """Probabilities (N, classes) of scores (N, classes), however large these are."""
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# %%
check.softmax(softmax)

# %% [markdown]
# ## Cross-entropy
#
# How bad is a prediction? Look only at the probability of the *true* class y, and take $-\log p_y$: 0 if the
# network was sure and right, without bound if it was sure and wrong. The loss is the **mean** over the rows. So it
# does not grow with the batch, and neither does its gradient.
#
# Take care with the logarithm: a $p_y$ of $10^{-400}$ is 0 in the machine. Put the formulas together and no such
# number appears: $-\log p_y = \log \sum_j e^{s_j} - s_y$. Sum up in float64: a float32 that runs through a million
# pixels forgets:

# %%
pixel_losses = np.random.default_rng(0).exponential(0.1, 1_000_000)
print(
    "mean loss of a million pixels, summed one by one in float32:",
    np.cumsum(pixel_losses, dtype=np.float32)[-1] / 1e6,
)
print(
    "                                                 in float64:", f"{np.cumsum(pixel_losses)[-1] / 1e6:.8f}"
)

# %% [markdown]
# ## Its gradient
#
# Differentiate $\log \sum_j e^{s_j} - s_y$: the first part gives softmax, the second takes 1 from the true class.
#
# $$\frac{\partial L}{\partial s_k} = \frac{1}{\mathrm{count}} \, (p_k - [k = y])$$
#
# Each row says: less of all classes, in proportion to how much you believed in them; more of the true one. A row
# adds up to 0.
#
# ## What does not count
#
# Rows with the label `ignore_label` (255, usually) do not count: nothing in the value, zeros in the gradient, and
# the mean is over the others. If none is left, value and gradient are 0.

# %%
scores = np.array([[1, 3, 2, -1], [0, 0, 0, 0], [2, -2, 1, 1], [-1, 1, 4, 0]], np.float64)
truth = np.array([1, 3, 255, 0])
p, one_hot = losses.softmax(scores), (truth[:, None] == np.arange(4)).astype(float)
value, dscores = losses.cross_entropy(scores[None, None], truth[None, None])
shown = (scores, "scores"), (p, "softmax p"), (one_hot, "one-hot"), (3 * dscores[0, 0], "gradient × 3 rows")
panels = figures.panels(4, height=2.1)
for ax, (array, title) in zip(panels, shown):
    figures.matrix(ax, array, title, limit=4 if array is scores else 1)
panels[0].set_yticks(range(4), [f"y = {y}" for y in truth], fontsize=8)
print(f"value {value:.4f}: the mean of", ", ".join(f"{-np.log(p[k, truth[k]]):.4f}" for k in (0, 1, 3)))

# %% [markdown]
# ### Exercise: the loss
#
# The check compares nine digits, and has scores in the thousands.


# %% tags=["exercise"]
def cross_entropy(scores, labels, ignore_label):
    """(value, dscores) of scores (M, classes) and labels (M,), whole numbers. A row is a window, or a pixel."""
    raise NotImplementedError


# %% tags=["solution"]
def cross_entropy(scores, labels, ignore_label):
    """(value, dscores) of scores (M, classes) and labels (M,), whole numbers. A row is a window, or a pixel."""
    counts = labels != ignore_label
    count = max(counts.sum(), 1)
    rows, true = np.flatnonzero(counts), labels[counts]
    s = scores - scores.max(axis=1, keepdims=True)
    logs = s - np.log(np.exp(s).sum(axis=1, keepdims=True))
    dscores = np.exp(logs)
    dscores[rows, true] -= 1
    dscores[~counts] = 0
    return -logs[rows, true].sum() / count, dscores / count


# %%
check.cross_entropy(cross_entropy)

# %% [markdown]
# ## Training
#
# A small network, `window_net`: three convolutions, then two fully connected layers. In every step: forward, loss,
# backward, a step against the gradient. Pictures are turned by quarter circles, as a turned circle is still a
# circle.


# %%
def train(net, windows, labels, steps, lr, batch=64):
    """Forward, loss, backward, step. Returns the loss at every step."""
    rng, images = np.random.default_rng(0), prepared(windows)
    list(net.params.values())[-2][...] = (
        0  # the weights behind which scores come start at 0: all classes alike
    )
    optimizer, rate = optim.Adam(net.params), optim.one_cycle(lr, steps)
    curve = []
    for step in range(steps):
        chosen = rng.integers(len(images), size=batch)
        turned = np.rot90(images[chosen], rng.integers(4), axes=(1, 2))
        scores, tape = net.forward(np.ascontiguousarray(turned))
        value, dscores = losses.cross_entropy(scores[:, None, None], labels[chosen, None, None])
        optimizer.step(net.backward(dscores[:, 0, 0], tape), rate(step))
        curve.append(value)
    return curve


net = models.window_net(classes=4, rng=0)  # the first step compiles kernels, once
curve = train(net, windows, labels, steps=400, lr=1e-2)
p = losses.softmax(net(prepared(test_windows)))
print(f"before the first step the loss is log 4 = {curve[0]:.3f}; at the end {np.mean(curve[-20:]):.3f}")
print(f"test windows named rightly: {np.mean(p.argmax(axis=1) == test_labels):.1%}")

# %%
ax = figures.panels(1, height=1.9, width=7)
ax.plot(curve, color=figures.PALE)
ax.plot(np.arange(19, len(curve)), np.convolve(curve, np.ones(20) / 20, "valid"), label="mean of 20 steps")
ax.set(xlabel="step", ylabel="loss", ylim=(0, 1.5), xlim=(0, len(curve)))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)

of_truth = p[np.arange(len(p)), test_labels]
order = np.argsort(of_truth)  # those with the least probability of the true class come first
chosen = [*order[:4], *order[np.searchsorted(of_truth[order], (0.6, 0.8, 0.9, 0.99))]]
windows_row, bars_row = figures.panels(8, 2, height=1.1)
for above, below, k in zip(windows_row, bars_row, chosen):
    figures.image(above, test_windows[k], names[test_labels[k]])
    is_right = p[k].argmax() == test_labels[k]
    above.spines[:].set(color=figures.GREEN if is_right else figures.VERMILLION, linewidth=3)
    below.bar(range(4), p[k], color=figures.CLASS_COLOURS[:4], edgecolor=figures.GREY)
    below.set(ylim=(0, 1), xticks=[], yticks=[])
    below.spines[["top", "right", "left"]].set_visible(False)
figures.legend(above, names)

# %% [markdown]
# Bars are the probabilities that the network gives. Framed in vermillion: where it is wrong, and too sure of it.
#
# ## What fully connected layers cost
#
# Widely read posts say that fully connected layers hold about 80 % of a network's parameters. Count. VGG16 and
# CaffeNet have three, of 4096, 4096 and 1000 outputs. Each input of each output is a weight:


# %%
def counted(stages, size):
    """Parameters and multiplications of the convolutions, and of the three fully connected layers behind them."""
    trunk = Network()
    stages(trunk)
    shapes = trunk.shapes((1, size, size, 3))
    H, W, C = shapes[trunk.output][1:]
    print(f"{size}x{size} pixels -> {H}x{W}x{C} -> 4096 -> 4096 -> 1000")
    widths = [H * W * C, 4096, 4096, 1000]
    weights = np.dot(widths[:-1], widths[1:])
    conv = sum(array.size for array in trunk.params.values())
    return (conv, weights + sum(widths[1:])), (surgery.multiply_adds(trunk, (1, size, size, 3)), weights)


rng = np.random.default_rng(0)
costs = {
    "VGG16": counted(
        lambda net: vgg_stages(net, rng, (64, 128, 256, 512, 512), (2, 2, 3, 3, 3), ceil_mode=False), 224
    ),
    "CaffeNet": counted(lambda net: alexnet_stages(net, rng, padding=0), 227),
}
panels = figures.panels(2, height=1.3, width=4.5)
for k, (what, unit, scale) in enumerate(
    (("parameters", "millions", 1e6), ("multiplications", "thousand millions", 1e9))
):
    for name, cost in costs.items():
        conv, connected = cost[k]
        panels[k].barh(name, conv / scale, color=figures.BLUE, label="convolutions")
        panels[k].barh(
            name, connected / scale, left=conv / scale, color=figures.ORANGE, label="fully connected"
        )
        share = f" {connected / (conv + connected):.1%} fully connected"
        panels[k].text((conv + connected) / scale, name, share, va="center", fontsize=8)
        print(f"{name:8} {what:15} convolutions {conv:14,}  fully connected {connected:13,}")
    panels[k].set_title(f"{what}, {unit}", fontsize=10)
    panels[k].invert_yaxis()
    panels[k].margins(x=0.45)
handles, words = panels[0].get_legend_handles_labels()
panels[0].figure.legend(
    handles[:2], words[:2], loc="outside lower center", ncols=2, frameon=False, fontsize=9
)
for ax in panels:
    ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# Nearly all parameters, hardly any of the work. And the first of these layers fits one size of picture only.
#
# ## Global average pooling
#
# A way without: take the **mean of each feature over the image**, whatever its size, and classify these few numbers
# with one small layer. On the way back every pixel has had the same share, 1/(H W), so every pixel gets the same
# gradient.
#
# ### Exercise: its gradient


# %% tags=["exercise"]
def global_avg_pool_backward(dy, input_shape):
    """dx of `input_shape` (N, H, W, C), where dy is (N, C)."""
    raise NotImplementedError


# %% tags=["solution"]
def global_avg_pool_backward(dy, input_shape):
    """dx of `input_shape` (N, H, W, C), where dy is (N, C)."""
    _, H, W, _ = input_shape
    return np.broadcast_to(dy[:, None, None] / (H * W), input_shape)


# %%
check.global_avg_pool_backward(global_avg_pool_backward)

# %%
gap = models.gap_net(classes=4, rng=0)
train(gap, windows, labels, steps=600, lr=1e-2)
for name, network in (("window_net", net), ("gap_net", gap)):
    size = sum(array.size for array in network.params.values())
    right = np.mean(network(prepared(test_windows)).argmax(axis=1) == test_labels)
    print(f"{name:10} {size:7,} parameters, {right:.1%} of the test windows named rightly")

# %% [markdown]
# ## Class activation maps
#
# A mean and a weighted sum are both linear: they may change places. Weigh the features first, at every place:
#
# $$M_c(i, j) = \sum_k f_k(i, j) \, w_{kc}$$
#
# That is a map for each class, and its mean over the image is the class's score (but for the bias). So the map says
# **where the score comes from**.
#
# ### Exercise: the maps


# %% tags=["exercise"]
def class_activation_map(features, weight):
    """maps (H, W, classes), where features is (H, W, C) and weight is (C, classes)."""
    raise NotImplementedError


# %% tags=["solution"]
def class_activation_map(features, weight):
    """maps (H, W, classes), where features is (H, W, C) and weight is (C, classes)."""
    return features @ weight


# %%
check.class_activation_map(class_activation_map)

# %% [markdown]
# The network has only ever been told *what* is in a window. Run it on larger pictures, and look at its maps. In the
# second column the map of the shape, minus that of the background, lies over the picture:

# %% tags=["thumbnail"]
shapes = Shapes(200, size=(56, 112), seed=6)
alone = [k for k, objects in enumerate(shapes.objects) if len(objects) == 1]
pictures, truths = shapes.images[alone], [shapes.objects[k][0].label for k in alone]
camera = surgery.class_activation_maps(gap)
maps = camera(prepared(pictures))
evidence = np.stack([one[..., label] - one[..., 0] for one, label in zip(maps, truths)])
seen = view(camera, camera.output)  # which place of the picture a number of the map is about
stride, centre = int(seen.stride), float(seen.offset)
start, stop = centre - stride / 2, centre + stride * (np.array(maps.shape[1:3]) - 0.5)

chosen = [next(k for k, label in enumerate(truths) if label == c and k > 2) for c in (1, 2, 3)]
panels = figures.panels(6, 3, height=0.85, width=1.6)
for row, k in zip(panels, chosen):
    titles = ("picture", "evidence", *names) if k == chosen[0] else ("",) * 6
    figures.image(row[0], pictures[k], titles[0])
    figures.image(row[1], pictures[k], titles[1])
    shade = np.clip(evidence[k] / np.percentile(evidence[k], 99), 0, 1)
    over = {"cmap": "cividis", "interpolation": "bilinear", "alpha": 0.9 * np.maximum(shade, 0.3)}
    row[1].imshow(shade, extent=(start, stop[1], stop[0], start), **over)
    row[1].set(xlim=(-0.5, 111.5), ylim=(55.5, -0.5))
    for c in range(4):
        figures.matrix(row[2 + c], maps[k, ..., c], titles[2 + c], limit=np.percentile(np.abs(maps[k]), 98))

places = [np.unravel_index(one.argmax(), one.shape) for one in evidence]
inside = [
    shapes.labels[k][int(centre) + stride * i, int(centre) + stride * j] > 0
    for k, (i, j) in zip(alone, places)
]
difference = np.abs(maps.mean(axis=(1, 2)) - gap(prepared(pictures))).max()
print(f"the brightest place is inside the shape in {sum(inside)} of {len(inside)} pictures")
print(f"largest difference between the mean of a map and its score: {difference:.0e}")

# %% [markdown]
# Blue speaks for the class, orange against it. Outlines and corners decide; plain ground says "background", and
# little else. (Of a picture that is mostly ground, the *mean* of a map is no good verdict any more. Its places
# are.)
#
# ## What you now know
#
# - A fully connected layer is a matrix product, and so are its gradients.
# - Softmax and cross-entropy belong together: the gradient is $p$ minus one-hot, divided by the number of rows that
#   count. Subtract the largest score, always.
# - Fully connected layers hold most parameters of the classical networks, and do little of the work.
# - Global average pooling needs none of them, takes any size, and can be done last: then you see where.
#
# One thing is odd. The maps came from a *classifier*, run on pictures larger than any window. Can every classifier
# do that? The [next lesson](06_dense.ipynb).
