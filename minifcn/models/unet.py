"""U-Net: down a contracting path, up an expanding one, and from each level of the one to the same of the other.

Each level has two 3x3 convolutions. Going down, a pooling halves the map and the channels double; going up, a 2x2
"up-convolution" doubles the map and halves the channels, and what the contracting path had at this level is set
beside it. So the last layers see both what is there and where it is. There are no fully connected layers.

The paper's convolutions are valid: each takes a pixel from every border, and the maps on their way across are
cropped to what is left. An image of n = 16k + 60 pixels gives n - 184, for instance 572 -> 388 (with other sizes
some rows are lost, where a pooling does not come out even). With padding="same" every convolution keeps the size,
and the output has that of the image, whatever it is: poolings round up, and what is upsampled is cut to its level's
size.

Source: Ronneberger, Fischer & Brox, U-Net: Convolutional networks for biomedical image segmentation (2015), figure
1 and section 3; where the dropout stands, which ends the contracting path, is taken from the released network.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minifcn.geometry import crop_offset
from minifcn.layers import BatchNorm2d, Concat, Conv2d, ConvTranspose2d, Crop, Dropout, MaxPool2d, ReLU
from minifcn.models.begin import begin
from minifcn.network import Network

WIDTHS = {  # the channels of each level, from the top down
    "small": (16, 32, 64, 128),
    "paper": (64, 128, 256, 512, 1024),
    "milesial": (64, 128, 256, 512, 1024),
}


def unet(
    classes: int,
    backbone: str = "small",
    *,
    padding: str = "same",
    widths: Sequence[int] | None = None,
    in_channels: int = 3,
    rng: Any = None,
) -> Network:
    """(N, H, W, in_channels) -> (N, H, W, classes), for every size from 1x1 up with padding="same".

    `backbone` is "small", "paper" (31,030,658 parameters for one input channel and two classes) or "milesial": the
    paper's widths with batch normalisation behind every 3x3 convolution in place of its bias, as in
    milesial/Pytorch-UNet, whose weights load by name; for sizes divisible by 16 it computes the same. `padding` is
    "same" or "valid", `widths` the channels of each level if they are to be others, `rng` a seed or a generator for
    the random weights. Raises ValueError for another backbone or padding, or less than two levels.

    >>> unet(2, "paper", padding="valid", in_channels=1).shapes((1, 572, 572, 1))["score"]
    (1, 388, 388, 2)
    """
    if padding not in ("same", "valid"):
        raise ValueError(f"padding is {padding!r}; expected same or valid")
    options = {"padding": padding, "widths": widths, "in_channels": in_channels}
    net = begin("unet", classes, backbone, WIDTHS, **options)
    channels = tuple(WIDTHS[backbone] if widths is None else widths)
    if len(channels) < 2:
        raise ValueError(f"widths is {channels}; expected at least two levels")
    # An example, for printing: in the paper 572, where the smallest map is 32 before its convolutions.
    n = 36 * 2 ** (len(channels) - 1) - 4 if padding == "valid" else 64
    net.image_shape = (1, n, n, in_channels)
    path = _Path(net, padding == "same", backbone == "milesial", np.random.default_rng(rng))

    last, skips = in_channels, []
    for level, width in enumerate(channels, start=1):
        if level > 1:
            net.add(f"pool{level - 1}", MaxPool2d(2, ceil_mode=padding == "same"))
        path.double_conv("conv", level, last, width)
        if backbone == "paper" and level >= len(channels) - 1:
            net.add(f"drop{level}", Dropout(0.5))
        skips.append(net.output)
        last = width
    for level in range(len(channels) - 1, 0, -1):
        width = channels[level - 1]
        net.add(f"up{level}", ConvTranspose2d(last, width, kernel_size=2, stride=2, rng=path.rng))
        path.join(level, skips[level - 1])
        path.double_conv("upconv", level, 2 * width, width)
        last = width
    net.add("score", Conv2d(last, classes, kernel_size=1, rng=path.rng))
    return net


class _Path:
    """Adds the layers of a level. `same` is the padding, `normalized` tells whether convolutions are."""

    def __init__(self, net: Network, same: bool, normalized: bool, rng: np.random.Generator):
        self.net, self.same, self.normalized, self.rng = net, same, normalized, rng

    def double_conv(self, name, level, channels, width):
        """Two 3x3 convolutions, each with a rectifier: conv1_1, relu1_1, conv1_2, relu1_2, …"""
        for k in (1, 2):
            plain = not self.normalized
            layer = Conv2d(channels, width, kernel_size=3, padding=int(self.same), bias=plain, rng=self.rng)
            self.net.add(f"{name}{level}_{k}", layer)
            if self.normalized:
                self.net.add(f"{name.replace('conv', 'bn')}{level}_{k}", BatchNorm2d(width))
            self.net.add(f"{name.replace('conv', 'relu')}{level}_{k}", ReLU())
            channels = width

    def join(self, level, skip):
        """Set the skip beside what has been upsampled; the larger of the two is cropped."""
        up, cropped = f"up{level}", f"crop{level}"
        large, small = (up, skip) if self.same else (skip, up)
        self.net.add(cropped, Crop(crop_offset(self.net, large, small)), large, small)
        self.net.add(f"concat{level}", Concat(), *((skip, cropped) if self.same else (cropped, up)))
