"""DeepLab: a wide field at a stride of 8, by one dilated convolution (LargeFOV) or by several side by side (ASPP).

It is VGG16 with strides of 1 at pool4 and pool5, and conv5 dilated by 2. Its poolings are 3x3 pixels, which puts
their centres on whole pixels: 321 pixels give 161, 81, 41, 41 and 41, and 41 scores are interpolated to 321 again.
The 7x7 window of fc6 becomes 3x3, dilated by 12: as wide, with a fraction of its weights. Atrous spatial pyramid
pooling has four of it, dilated by 6, 12, 18 and 24, and adds up their scores: objects come in several sizes.

Layers have the names of the released networks of DeepLab v2: fc6_1, fc7_1 and fc8_1 are the first branch. From
weights of VGG16, fc6 and fc7 take three by three of the seven by seven taps, and every fourth channel.

Sources: Chen, Papandreou, Kokkinos, Murphy & Yuille, Semantic image segmentation with deep convolutional nets and
fully connected CRFs (2015), section 3; DeepLab: Semantic image segmentation with deep convolutional nets, atrous
convolution, and fully connected CRFs (2017), section 3.2, figure 7; poolings and fillers are those released.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minifcn import initialize
from minifcn.geometry import IMAGE, crop_offset
from minifcn.layers import Add, AvgPool2d, Conv2d, ConvTranspose2d, Crop, Dropout, MaxPool2d, ReLU
from minifcn.models.backbones import STAGES
from minifcn.models.begin import begin
from minifcn.models.dilated_trunk import dilated_trunk
from minifcn.network import Network

# The dilation of each branch; a third of it for small images.
LARGE_FOV: dict[str, Sequence[int]] = {"vgg16": (12,), "small": (4,)}
ASPP: dict[str, Sequence[int]] = {"vgg16": (6, 12, 18, 24), "small": (2, 4, 6, 8)}
CHANNELS = {"vgg16": 1024, "small": 128}  # of fc6 and fc7


def deeplab_largefov(classes: int, backbone: str = "small", *, rng: Any = None, **options: Any) -> Network:
    """DeepLab-LargeFOV: (N, H, W, 3) -> (N, H, W, classes), for every size from 1x1 up.

    `backbone` is "vgg16" (20,505,429 parameters for 21 classes, without the fixed interpolation) or "small".
    `options`: `widths`, the channels of the five stages, and `fc`, those of fc6 and fc7, if they are to be others.
    `rng` is a seed or a generator for the random weights. Raises ValueError for another backbone or number of
    widths.

    >>> deeplab_largefov(21, "vgg16", widths=(1, 1, 1, 1, 1), fc=1).shapes((1, 321, 321, 3))["fc8_1"]
    (1, 41, 41, 21)
    """
    return _build("deeplab_largefov", classes, backbone, LARGE_FOV, rng, **options)


def deeplab_aspp(classes: int, backbone: str = "small", *, rng: Any = None, **options: Any) -> Network:
    """DeepLab with atrous spatial pyramid pooling, 37,877,652 parameters. Arguments of `deeplab_largefov`."""
    return _build("deeplab_aspp", classes, backbone, ASPP, rng, **options)


def _build(
    model: str,
    classes: int,
    backbone: str,
    rates: dict[str, Sequence[int]],
    rng: Any,
    widths: Sequence[int] | None = None,
    fc: int | None = None,
) -> Network:
    net = begin(model, classes, backbone, STAGES, widths=widths, fc=fc)
    rng, branches = np.random.default_rng(rng), rates[backbone]
    net.image_shape = (1, 321, 321, 3) if backbone == "vgg16" else (1, 65, 65, 3)
    channels = dilated_trunk(net, rng, backbone, widths, (_halve, _halve, _halve, _keep, _keep))
    if len(branches) == 1:
        net.add("pool5a", AvgPool2d(3, stride=1, padding=1))
    source, fc = net.output, CHANNELS[backbone] if fc is None else fc
    for number, rate in enumerate(branches, start=1):
        _branch(net, rng, number, source, channels, fc, classes, rate, dropout=backbone == "vgg16")
    if len(branches) > 1:
        net.add("fc8", Add(), *(f"fc8_{number}" for number in range(1, len(branches) + 1)))
    # Interpolated from one whole pixel to every eighth: the kernel is odd, so that its middle is a pixel.
    up = ConvTranspose2d(classes, classes, kernel_size=15, stride=8, padding=7, bias=False)
    up.params["weight"][...] = initialize.bilinear(15, classes)
    up.frozen = True
    net.add("upscore", up)
    net.add("score", Crop(crop_offset(net, "upscore", IMAGE)), "upscore", IMAGE)
    return net


def _halve() -> MaxPool2d:
    return MaxPool2d(3, stride=2, padding=1, ceil_mode=True)


def _keep() -> MaxPool2d:
    return MaxPool2d(3, stride=1, padding=1)


def _branch(net, rng, number, source, channels, width, classes, rate, dropout):
    """fc6, fc7 and fc8 of a branch that reads `source`."""
    fc6 = Conv2d(channels, width, kernel_size=3, padding=rate, dilation=rate, rng=rng)
    for layer, name in ((fc6, "6"), (Conv2d(width, width, kernel_size=1, rng=rng), "7")):
        net.add(f"fc{name}_{number}", layer, source)
        net.add(f"relu{name}_{number}", ReLU())
        if dropout:
            net.add(f"drop{name}_{number}", Dropout(0.5))
        source = net.output
    fc8 = Conv2d(width, classes, kernel_size=1)
    fc8.params["weight"][...] = rng.normal(0, 0.01, fc8.params["weight"].shape)
    net.add(f"fc8_{number}", fc8)
