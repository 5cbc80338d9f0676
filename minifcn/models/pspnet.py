"""Pyramid pooling: what the whole image, its quarters, ninths and thirty-sixths are like, set beside every place.

The maps of the trunk, at a stride of 8, are averaged in 1x1, 2x2, 3x3 and 6x6 bins. Each of the four results goes
through a 1x1 convolution, which leaves it a quarter of the channels, is interpolated back to the size of the maps
and set beside them. A 3x3 convolution then reads at every place what is there and what is around, up to the whole
image.

PSPNet puts this head on a dilated ResNet; here it is on VGG16, dilated in the same way, or on a small trunk. The
second loss in the middle of ResNet, which helps to train so deep a network, is left out.

As every score depends on the whole image, it cannot be cut into tiles. And the bin of the whole image is one number
a channel and image: its normalisation means something only in batches of several images.

Source: Zhao, Shi, Qi, Wang & Jia, Pyramid scene parsing network (2017), section 3.2, figure 3; names, order and
dropout are those of the released networks.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minifcn.geometry import IMAGE, crop_offset
from minifcn.layers import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    Crop,
    Dropout,
    ReLU,
    ResizeLike,
    Upsample2d,
)
from minifcn.models.backbones import STAGES
from minifcn.models.begin import begin
from minifcn.models.dilated_trunk import dilated_trunk
from minifcn.network import Network

BINS = (1, 2, 3, 6)


def pspnet(
    classes: int,
    backbone: str = "small",
    *,
    widths: Sequence[int] | None = None,
    rng: Any = None,
) -> Network:
    """(N, H, W, 3) -> (N, H, W, classes), for every size from 1x1 up.

    `backbone` is "vgg16" (19,708,245 parameters for 21 classes) or "small", `widths` are the channels of its five
    stages, if they are to be others, the last a multiple of 4; `rng` is a seed or a generator for the random
    weights. Raises ValueError for another backbone or other widths.

    >>> pspnet(21, "vgg16", widths=(1, 1, 1, 1, 8)).shapes((1, 480, 480, 3))["pyramid"]   # 8 + 4 · 2 channels
    (1, 60, 60, 16)
    """
    net = begin("pspnet", classes, backbone, STAGES, widths=widths)
    rng = np.random.default_rng(rng)
    net.image_shape = (1, 480, 480, 3) if backbone == "vgg16" else (1, 64, 64, 3)
    channels = dilated_trunk(net, rng, backbone, widths)
    if channels % len(BINS):
        raise ValueError(f"widths ends in {channels}; expected a multiple of {len(BINS)}")
    _pyramid(net, rng, channels)
    _convolution(net, rng, "conv5_4", net.output, 2 * channels, channels, kernel_size=3)
    net.add("drop5_4", Dropout(0.1))
    net.add("conv6", Conv2d(channels, classes, kernel_size=1, rng=rng))
    net.add("upscore", Upsample2d(8, mode="bilinear"))
    net.add("score", Crop(crop_offset(net, "upscore", IMAGE)), "upscore", IMAGE)
    return net


def _pyramid(net, rng, channels):
    """Set the means over all bins beside the last maps of the trunk."""
    maps, branches = net.output, []
    for bins in BINS:
        name = f"conv5_3_pool{bins}"
        net.add(name, AdaptiveAvgPool2d(bins), maps)
        _convolution(net, rng, f"{name}_conv", name, channels, channels // len(BINS), kernel_size=1)
        net.add(f"{name}_interp", ResizeLike(), net.output, maps)
        branches.append(net.output)
    net.add("pyramid", Concat(), maps, *branches)


def _convolution(net, rng, name, source, channels, width, kernel_size):
    """A convolution that keeps the size, normalised in place of a bias, and a rectifier."""
    padding = kernel_size // 2
    net.add(name, Conv2d(channels, width, kernel_size, padding=padding, bias=False, rng=rng), source)
    net.add(f"{name}_bn", BatchNorm2d(width))
    net.add(f"{name}_relu", ReLU())
