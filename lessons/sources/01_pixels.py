# %% [markdown]
# # 1. Pixels and labels
#
# **Can a segmentation get 99 of 100 pixels right and still be useless?** It can, and at the end of this lesson
# you will have measured one. On the way: what a label map is, how scores become one, and the four numbers by
# which papers compare them.

# %%
import figures
import matplotlib.pyplot as plt
import numpy as np

from minifcn import check, metrics, plots
from minifcn.data import Shapes
from minifcn.models import fcn8s

shapes = Shapes(200, size=64, seed=1)  # 200 toy pictures, with labels
names = shapes.class_names
picture, labels = shapes[131]
print("picture", picture.shape, picture.dtype)
print("labels ", labels.shape, labels.dtype)
print("classes", dict(enumerate(names)))

# %% [markdown]
# ## One picture, four questions
#
# *Classification* says what is in a picture. *Detection* puts a box around each thing. **Semantic segmentation**
# says of every pixel what it belongs to: it knows outlines, but not that there are two circles. That takes
# *instance segmentation*. This course is about the third.

# %% tags=["thumbnail"]
objects = shapes.objects[131]
rows, columns = np.indices(labels.shape) + 0.5
nearest = np.argmin([np.hypot(rows - o.y, columns - o.x) for o in objects], axis=0)
own = np.where(labels > 0, 5 + nearest, 0)  # a colour for each object


def overlay(picture, labels):
    """The picture with its labels as colours on top of its brightness; background stays as it is."""
    mixed = 0.35 * picture.mean(axis=-1, keepdims=True) + 0.65 * figures.coloured(labels)
    return np.where(labels[..., None] > 0, mixed, picture).astype(np.uint8)


panels = figures.panels(4, height=2.25)
figures.image(panels[0], picture, "classification")
figures.image(panels[1], picture, "detection")
figures.image(panels[2], overlay(picture, labels), "semantic segmentation")
figures.image(panels[3], overlay(picture, own), "instance segmentation")
for ax, says in zip(panels, ("circle, triangle", "class and box", "class of each pixel", "class and object")):
    ax.set_xlabel(says)
for number, o in enumerate(objects):
    places = np.argwhere((labels > 0) & (nearest == number))
    (top, left), (height, width) = places.min(axis=0), np.ptp(places, axis=0) + 1
    figures.window(panels[1], top, left, height, width, figures.CLASS_COLOURS[o.label])

# %% [markdown]
# ## A label for every pixel
#
# A **label map** is an array as large as the picture, with the number of a class at each pixel. Where nobody can
# say, as on the blurred border of a photographed horse, it holds 255: *this pixel does not count*.
#
# The coloured pictures above are **overlays**: picture and colours, mixed. See `overlay` in the cell above.
# (`minifcn.plots.overlay` does it in the colours of PASCAL VOC.)

# %%
top, left, size = 36, 29, 11
patch = slice(top, top + size), slice(left, left + size)

panels = figures.panels(3, height=3)
figures.image(panels[0], picture, "the picture")
figures.window(panels[0], top, left, size, size)
figures.image(panels[1], picture[patch], "in the frame: colours …")
figures.labels(panels[2], labels[patch], "… and labels")
for (row, column), label in np.ndenumerate(labels[patch]):
    panels[2].text(
        column, row, label, ha="center", va="center", fontsize=9, color="white" if label else figures.GREY
    )
figures.legend(panels[2], names)

# %% [markdown]
# ## One map per class
#
# Class numbers are names, not amounts: a circle (1) and a square (2) do not add up to a triangle (3). So a
# network never computes with them. It has one map per class, which says *how much of this class* is at each
# pixel. For labels that is 1 at the pixels of the class and 0 elsewhere: the **one-hot** form.

# %%
panels = figures.panels(5, height=1.75)
figures.labels(panels[0], labels, "label map")
for k, ax in enumerate(panels[1:]):
    figures.matrix(ax, labels == k, f"class {k}: {names[k]}", numbers=False)

# %% [markdown]
# ### Exercise: one-hot
#
# The classes come last, as channels do: labels of shape (H, W) or (N, H, W) become (H, W, K) or (N, H, W, K). A
# pixel that does not count is in no class.


# %% tags=["exercise"]
def one_hot(labels, classes):
    """Maps of 0 and 1: [..., k] is 1 where the label is k. All are 0 where it is 255."""
    raise NotImplementedError


# %% tags=["solution"]
def one_hot(labels, classes):
    """Maps of 0 and 1: [..., k] is 1 where the label is k. All are 0 where it is 255."""
    return (labels[..., None] == np.arange(classes)).astype(np.float32)


# %%
check.one_hot(one_hot)

# %% [markdown]
# Wrong? The answer shows the smallest case that fails. Stuck? `check.one_hot.hint()`, as often as you like.
#
# ## The largest score wins
#
# What a network gives are K **scores** at each pixel, any numbers. Its answer is the class with the largest:
# `scores.argmax(axis=-1)`. For one-hot maps that gives the labels back.
#
# There is no network here yet, so we pretend. Ours sees only blocks of 8 × 8 pixels; its score is the share of
# the block that a class takes. (Real ones have this weakness, too. Lesson 8 mends it.)


# %%
def pretend(labels, block):
    """Scores (H, W, K) of a network that sees blocks of so many pixels, and each of them perfectly."""
    H, W = labels.shape
    maps = np.stack([labels == k for k in range(len(names))], axis=-1).astype(np.float32)
    shares = maps.reshape(H // block, block, W // block, block, -1).mean(axis=(1, 3))
    return shares.repeat(block, axis=0).repeat(block, axis=1)


scores = pretend(labels, 8)
prediction = scores.argmax(axis=-1)

panels = figures.panels(5, height=1.75)
for k, ax in enumerate(panels[:4]):
    figures.matrix(ax, scores[..., k], f"score: {names[k]}", numbers=False, limit=1)
figures.labels(panels[4], prediction, "argmax")

# %% [markdown]
# You may read that a fully convolutional network ends in 1000 maps. That is the classifier it was made from, with
# the 1000 classes of ImageNet. For segmentation its last layer is thrown away, and a new one gives a map for each
# class of the task; PASCAL VOC has 20 and the background:

# %%
for task, K in (("toy shapes", 4), ("PASCAL VOC", 21)):
    net = fcn8s(classes=K, rng=0)
    print(f"FCN-8s for {task}: scores {net.shapes((1, 64, 64, 3))[net.output]}")

# %% [markdown]
# ## Counting pairs
#
# How good is a prediction? Every pixel is a pair: what it is, and what it was taken for. The **confusion matrix**
# counts them, a row for each true class, a column for each prediction. What is right stands on the diagonal.

# %%
hist = metrics.confusion(labels, prediction, classes=4)

panels = figures.panels(4, height=2.1)
figures.labels(panels[0], labels, "truth")
figures.labels(panels[1], prediction, "prediction")
figures.image(panels[2], plots.errors(picture, labels, prediction), "errors in red")
figures.matrix(panels[3], hist, "confusion matrix", limit=hist[1:, 1:].max())
panels[3].set(ylabel="truth", xlabel="prediction")
figures.legend(panels[0], names)

# %% [markdown]
# ### Exercise: the confusion matrix
#
# `labels` and `predictions` have one shape, (H, W) or (N, H, W). Pixels whose label is 255 do not count.


# %% tags=["exercise"]
def confusion(labels, predictions, classes):
    """A (K, K) array: [i, j] is the number of pixels of class i that are predicted as j."""
    raise NotImplementedError


# %% tags=["solution"]
def confusion(labels, predictions, classes):
    """A (K, K) array: [i, j] is the number of pixels of class i that are predicted as j."""
    hist = np.zeros((classes, classes), np.int64)
    counts = labels != 255
    np.add.at(hist, (labels[counts], predictions[counts]), 1)
    return hist


# %%
check.confusion(confusion)

# %% [markdown]
# ## Intersection over union
#
# Take one class. Its true pixels are one set, its predicted pixels another. Their intersection, divided by their
# union, is the **IU** (also IoU): 1 if they are the same, 0 if they do not meet.

# %%
row, column = np.indices((64, 64))


def disc(x):
    """1 on a disc that is so far from the left, 0 elsewhere."""
    return (np.hypot(row - 32, column - x) < 9).astype(np.uint8)


def hist_of_a_disc(off):
    """The confusion matrix of a prediction that is so many pixels off."""
    return metrics.confusion(disc(20), disc(20 + off), classes=2)


panels = figures.panels(3, height=2.6, width=3.7, ratios=(1, 0.8, 1.4))
regions = disc(20) + 2 * disc(26)
figures.labels(panels[0], regions[16:48, 6:42], "predicted 6 pixels off")
figures.legend(panels[0], ("neither", "truth only", "predicted only", "both"))
figures.matrix(panels[1], hist_of_a_disc(6), "its confusion matrix", limit=500)
panels[1].set(ylabel="truth", xlabel="prediction")
figures.window(panels[1], 1, 0, 1, 2, figures.BLUE)
figures.window(panels[1], 0, 1, 2, 1, figures.VERMILLION)
off = range(26)
panels[2].plot(off, [metrics.pixel_accuracy(hist_of_a_disc(n)) for n in off], label="pixel accuracy")
panels[2].plot(off, [metrics.iou(hist_of_a_disc(n))[1] for n in off], label="IU of the disc")
panels[2].set(xlabel="pixels off", ylim=(0, 1.03))
panels[2].set_title("how bad is it?", fontsize=10)
panels[2].grid(alpha=0.3)
panels[2].legend(fontsize=9)
plt.show()

# %% [markdown]
# In the confusion matrix, the framed row is the truth of the disc and the framed column its prediction. Together
# they are the union, if what is in both is counted once:
#
# $$\mathrm{IU}_i = \frac{n_{ii}}{t_i + p_i - n_{ii}} \qquad t_i = \sum_j n_{ij} \quad p_i = \sum_j n_{ji}$$
#
# Look at the curves. **Pixel accuracy**, the share of pixels that are right, hardly minds when the prediction
# misses the disc altogether. IU says what happened.
#
# ## Mean IU
#
# The mean over the classes. A class that is neither there nor predicted has no IU (0 / 0) and is left out. One
# that is not there but predicted has IU 0, and counts.
#
# ### Exercise: two measures
#
# `hist` is a confusion matrix with a pixel or more in it. Both functions return one number.


# %% tags=["exercise"]
def pixel_accuracy(hist):
    """The share of all pixels that are predicted rightly."""
    raise NotImplementedError


def mean_iou(hist):
    """The mean of IU over the classes that are present or predicted."""
    raise NotImplementedError


# %% tags=["solution"]
def pixel_accuracy(hist):
    """The share of all pixels that are predicted rightly."""
    return np.trace(hist) / hist.sum()


def mean_iou(hist):
    """The mean of IU over the classes that are present or predicted."""
    intersection = np.diag(hist)
    union = hist.sum(axis=0) + hist.sum(axis=1) - intersection
    return (intersection[union > 0] / union[union > 0]).mean()


# %%
check.pixel_accuracy(pixel_accuracy)

# %%
check.mean_iou(mean_iou)

# %% [markdown]
# ## The paper's four
#
# Long, Shelhamer and Darrell, who introduced fully convolutional networks, report four numbers. Others after them
# did so, too, or kept the third:
#
# | | |
# |---|---|
# | pixel accuracy | $\sum_i n_{ii} \,/\, \sum_i t_i$ |
# | mean accuracy | mean over classes of $n_{ii} / t_i$ |
# | **mean IU** | mean over classes of $\mathrm{IU}_i$ |
# | frequency weighted IU | mean of $\mathrm{IU}_i$, each class weighted by its pixels $t_i$ |
#
# Add up the matrices of all pictures, then measure once. A mean over pictures is another number:

# %%
hists = [metrics.confusion(truth, pretend(truth, 8).argmax(axis=-1), classes=4) for truth in shapes.labels]
print(metrics.table(sum(hists), names))
print()
print(f"mean over pictures of their mean IU: {100 * np.mean([metrics.mean_iou(h) for h in hists]):.1f}")

# %% [markdown]
# ## Pixel accuracy lies
#
# Here are three predictions for all 200 pictures. One of them is of no use at all: it calls everything
# background.

# %%
measures = (metrics.pixel_accuracy, metrics.mean_accuracy, metrics.mean_iou, metrics.frequency_weighted_iou)
predictions = {
    "all background": lambda truth: np.zeros_like(truth),
    "blocks of 16": lambda truth: pretend(truth, 16).argmax(axis=-1),
    "blocks of 4": lambda truth: pretend(truth, 4).argmax(axis=-1),
}
values = {}
for name, predict in predictions.items():
    hist = sum(metrics.confusion(truth, predict(truth), classes=4) for truth in shapes.labels)
    values[name] = [100 * measure(hist) for measure in measures]

left, right = figures.panels(2, height=2.8, width=4.5)
for k, (name, bars) in enumerate(values.items()):
    places = np.arange(4) + 0.27 * (k - 1)
    left.bar(places, bars, width=0.25, label=name)
    for x, value in zip(places, bars):
        left.text(x, value + 1, f"{value:.0f}", ha="center", fontsize=8)
left.set_xticks(range(4), ["pixel\naccuracy", "mean\naccuracy", "mean\nIU", "freq. weighted\nIU"], fontsize=9)
left.set(ylim=(0, 118), ylabel="%")
left.set_title("three predictions", fontsize=10)
left.legend(fontsize=8, loc="upper center", ncols=3, frameon=False)

side = 256
row, column = np.indices((side, side))
share, curves = [], []
for radius in np.geomspace(3, 100, 30):
    truth = (np.hypot(row - side / 2, column - side / 2) < radius).astype(np.uint8)
    hist = metrics.confusion(truth, np.zeros_like(truth), classes=2)
    share.append(100 * truth.mean())
    curves.append([100 * measure(hist) for measure in measures])
for line, name in zip(
    np.transpose(curves), ("pixel accuracy", "mean accuracy", "mean IU", "freq. weighted IU")
):
    right.plot(share, line, label=name)
right.set(xscale="log", xlabel="% of the picture that is object", ylim=(0, 118), ylabel="%")
right.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
right.set_title("all background, for smaller and smaller objects", fontsize=10)
right.legend(fontsize=8)
right.grid(alpha=0.3)
rare = int(np.argmin(np.abs(np.array(share) - 1)))
print(
    f"An object on {share[rare]:.1f} % of the picture, not found: pixel accuracy {curves[rare][0]:.1f} %, "
    f"mean IU {curves[rare][2]:.1f} %"
)

# %% [markdown]
# There it is: nearly every pixel right, and useless. Pixel accuracy rises as the object shrinks, because it is an
# average over pixels, and most of them are background. So does frequency weighted IU. Mean accuracy and mean IU
# ask every class alike: half of them, the background, is found; the other half is not. Of the two, only IU
# charges for pixels that are claimed wrongly.
#
# About three quarters of PASCAL VOC's pixels are background. It is often told that the authors therefore weighted
# the classes in their loss. They say that one could, and found it unnecessary. What they did is to *measure* in
# mean IU.
#
# ## What you now know
#
# * A segmentation is a label map: a class number for each pixel, 255 where it does not count.
# * A network gives K scores at each pixel, one for each class of the task; argmax makes labels of them, one-hot
#   maps of labels.
# * The confusion matrix counts pairs of truth and prediction. All four measures come from it, once, over the
#   whole set.
# * Pixel accuracy is high wherever background is plenty. Mean IU is the number to look at.
#
# Next: where scores come from. They begin with [a window that slides](02_convolution.ipynb).
