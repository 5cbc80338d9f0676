"""Dilated convolutions in place of strides, and a module of them that gathers context.

The front end is VGG16 at a stride of 8: pool4 and pool5 are gone, conv5 is dilated by 2 and fc6 by 4 instead. None
of its convolutions is padded; the image is, with 186 mirrored pixels on each side. So n pixels give n / 8 scores
(n + 372 = 900: 66).

The context module reads these scores and gives others, from a wider field and no coarser: with dilations of 1, 1,
2, 4, 8, 16 and 1 the field grows from 3 to 67 places. It starts as the identity (for scores of at least 0: it has
rectifiers). Basic keeps one channel for each class, large has up to 32.

Source: Yu & Koltun, Multi-scale context aggregation by dilated convolutions (2016), table 1, sections 3 and 4;
padding, names and the noise of the identity are those of the released dilation8_pascal_voc.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minifcn import initialize
from minifcn.geometry import IMAGE, crop_offset
from minifcn.layers import Conv2d, Crop, Dropout, Pad2d, ReLU, Upsample2d
from minifcn.models.backbones import STAGES
from minifcn.models.begin import begin
from minifcn.models.dilated_trunk import dilated_trunk
from minifcn.network import Network

# Table 1: name, size of the kernel and dilation.
CONTEXT = (
    ("ct_conv1_1", 3, 1),
    ("ct_conv1_2", 3, 1),
    ("ct_conv2_1", 3, 2),
    ("ct_conv3_1", 3, 4),
    ("ct_conv4_1", 3, 8),
    ("ct_conv5_1", 3, 16),
    ("ct_fc1", 3, 1),
    ("ct_final", 1, 1),
)
BASIC = (1, 1, 1, 1, 1, 1, 1, 1)  # channels of each layer, for each class
LARGE = (2, 2, 4, 8, 16, 32, 32, 1)


def dilated(classes: int, backbone: str = "small", *, rng: Any = None, **options: Any) -> Network:
    """The front end: (N, H, W, 3) -> (N, H, W, classes), for every size from 1x1 up.

    `backbone` is "vgg16" (134,346,581 parameters for 21 classes) or "small", where for the sake of speed it is the
    convolutions that are padded, with zeros. `options`: `widths`, the channels of the five stages, and `fc`, those
    of fc6 and fc7, if they are to be others. `rng` is a seed or a generator for the random weights. Raises
    ValueError for another backbone or number of widths.

    >>> dilated(21, "vgg16", widths=(1, 1, 1, 1, 1), fc=1).shapes((1, 528, 528, 3))["fc-final"]
    (1, 66, 66, 21)
    """
    return _build("dilated", classes, backbone, None, rng, **options)


def dilated_context(classes: int, backbone: str = "small", *, rng: Any = None, **options: Any) -> Network:
    """The front end and the basic context module, 64 K² + 8 K parameters for K classes. Arguments of `dilated`.

    A trained front end is a good start: its weights load by name (weights.load), and the scores stay as they were
    where they are not negative.
    """
    return _build("dilated_context", classes, backbone, BASIC, rng, **options)


def dilated_context_large(
    classes: int, backbone: str = "small", *, rng: Any = None, **options: Any
) -> Network:
    """The front end and the large context module, up to 32 channels a class. Arguments of `dilated`."""
    return _build("dilated_context_large", classes, backbone, LARGE, rng, **options)


def _build(
    model: str,
    classes: int,
    backbone: str,
    context: Sequence[int] | None,
    rng: Any,
    widths: Sequence[int] | None = None,
    fc: int | None = None,
) -> Network:
    net = begin(model, classes, backbone, STAGES, widths=widths, fc=fc)
    released, rng = backbone == "vgg16", np.random.default_rng(rng)
    net.image_shape = (1, 528, 528, 3) if released else (1, 64, 64, 3)
    if released:
        net.add("mirror", Pad2d(186, mode="reflect"))
    channels = dilated_trunk(net, rng, backbone, widths, padded=not released)
    if fc is None:
        fc = 4096 if released else 256
    _fully_connected(net, rng, channels, fc, released)
    scores = Conv2d(fc, classes, kernel_size=1)
    scores.params["weight"][...] = rng.normal(0, 0.001, scores.params["weight"].shape)
    net.add("fc-final", scores)
    if context is not None:
        # The same for all classes changes no probability. But rectifiers follow, which cut off scores below 0, and
        # a class that is cut off everywhere is lost: learning rare ones begins with lowering their scores.
        scores.params["bias"][...] = 5
        _context(net, rng, classes, context, released)
    net.add("upscore", Upsample2d(8, mode="bilinear"))
    net.add("score", Crop(crop_offset(net, "upscore", IMAGE)), "upscore", IMAGE)
    return net


def _fully_connected(net, rng, channels, width, released):
    """fc6, a window over what was pool5, and fc7, with dropout behind each where there are many channels."""
    size, padding = (7, 0) if released else (3, 4)
    fc6 = Conv2d(channels, width, size, padding=padding, dilation=4, rng=rng)
    for number, layer in ((6, fc6), (7, Conv2d(width, width, kernel_size=1, rng=rng))):
        net.add(f"fc{number}", layer)
        net.add(f"relu{number}", ReLU())
        if released:
            net.add(f"drop{number}", Dropout(0.5))


def _context(net, rng, classes, factors, released):
    """As released, the first convolution pads for all, by 33. On small maps each pads for itself, which is less."""
    channels = classes
    for (name, size, dilation), factor in zip(CONTEXT, factors):
        padding = dilation * (size // 2)
        if released:
            padding = 33 if name == "ct_conv1_1" else 0
        width, noise = factor * classes, 0.0 if factors is BASIC else 0.01
        layer = Conv2d(channels, width, size, padding=padding, dilation=dilation)
        layer.params["weight"][...] = initialize.identity(size, channels, width, classes, noise, rng)
        net.add(name, layer)
        if name != "ct_final":
            net.add(f"relu_{name}", ReLU())
        channels = width
