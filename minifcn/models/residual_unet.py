"""Residual U-Net: very deep, with long skips from path to path, as in U-Net, and short ones around every block.

Long skips bring back where things are; they are summed. Short skips add a block's input to its output, so that a
gradient reaches each of a hundred layers. A convolution reads what has been normalised and rectified just before
it ("pre-activation"). Going down, the first block of a level halves the map, and its short skip takes every other
pixel; going up, pixels are repeated, and a 1x1 convolution makes as many channels as the long skip has.

Repeating commutes with sums and with 1x1 convolutions. The authors' blocks repeat in both of their branches; here
that is done behind all of it, which gives the same numbers for a quarter of the work. Only dropout tells the two
apart: here the last bottleneck of a level drops numbers before they are repeated, there each copy by itself.

Source: Drozdzal, Vorontsov, Chartrand, Kadoury & Pal, The importance of skip connections in biomedical image
segmentation (2016), in the form of the authors' code for the EM images, veugene/fcn_maker.
"""

from typing import Any, NamedTuple

import numpy as np

from minifcn.layers import Add, BatchNorm2d, Conv2d, Crop, Dropout, MaxPool2d, ReLU, Upsample2d
from minifcn.models.begin import begin
from minifcn.network import Network


class Size(NamedTuple):
    """The levels, from the top down, and what leads across: channels, and how many bottlenecks stand in a row.

    None of them means a simple block.
    """

    levels: tuple[tuple[int, int], ...]
    across: tuple[int, int]
    dropout: float


SIZES_OF = {
    "small": Size(((16, 0), (16, 1), (32, 2)), (64, 2), 0.0),
    "paper": Size(((32, 0), (32, 0), (32, 3), (64, 8), (128, 10)), (256, 3), 0.1),
}


def residual_unet(classes: int, backbone: str = "small", *, rng: Any = None) -> Network:
    """(N, H, W, 3) -> (N, H, W, classes), for every size from 1x1 up.

    `backbone` is "small" or "paper", with 45 bottlenecks and 11.5 million parameters. `rng` is a seed or a
    generator for the random weights.

    >>> residual_unet(2, "paper").shapes((1, 512, 512, 3))["across3"]
    (1, 8, 8, 1024)
    """
    net, rng = begin("residual_unet", classes, backbone, SIZES_OF), np.random.default_rng(rng)
    levels, across, dropout = SIZES_OF[backbone]
    first = levels[0][0]
    path = _Path(net, 3, dropout, rng)

    path.conv("first", first, 3)
    skips = [(net.output, path.channels)]
    for level, (width, repetitions) in enumerate(levels, start=1):
        path.blocks(f"down{level}_", width, repetitions, down=True)
        skips.append((net.output, path.channels))
    path.blocks("across", *across, down=True)
    for level, (width, repetitions) in reversed([*enumerate(levels, start=1)]):
        path.up_to(*skips.pop())
        path.blocks(f"up{level}_", width, repetitions)
    path.up_to(*skips.pop())
    path.activated_conv("last", first, 3)
    path.conv("score", classes, 1)
    return net


class _Path:
    """Adds layers and blocks behind the network's last layer, which has `channels`."""

    def __init__(self, net: Network, channels: int, dropout: float, rng: np.random.Generator):
        self.net, self.channels, self.dropout, self.rng = net, channels, dropout, rng

    def conv(self, name, width, kernel_size, stride=1):
        padding = kernel_size // 2
        self.net.add(name, Conv2d(self.channels, width, kernel_size, stride, padding, rng=self.rng))
        self.channels = width

    def activated_conv(self, name, width, kernel_size, stride=1, pool=False):
        """Normalised, rectified, pooled if asked for, and convolved."""
        self.net.add(f"{name}_bn", BatchNorm2d(self.channels))
        self.net.add(f"{name}_relu", ReLU())
        if pool:
            self.net.add(f"{name}_pool", MaxPool2d(2, ceil_mode=True))
        self.conv(name, width, kernel_size, stride)

    def blocks(self, name, width, repetitions, down=False):
        """So many bottlenecks, or one simple block. The first halves the map if it goes `down`."""
        for k in range(1, repetitions + 1):
            self.bottleneck(f"{name}{k}", width, down and k == 1)
        if not repetitions:
            self.simple(f"{name}1", width, down)

    def simple(self, name, width, down):
        """A 3x3 convolution; going down, a pooling halves the map."""
        source, channels = self.net.output, self.channels
        self.activated_conv(f"{name}_conv", width, 3, pool=down)
        self.short_skip(name, source, channels, down)

    def bottleneck(self, name, width, down):
        """1x1, 3x3, and 1x1 to four times the channels; going down, the first of them halves the map."""
        source, channels = self.net.output, self.channels
        self.activated_conv(f"{name}_conv1", width, 1, stride=2 if down else 1)
        self.activated_conv(f"{name}_conv2", width, 3)
        self.activated_conv(f"{name}_conv3", 4 * width, 1)
        self.short_skip(name, source, channels, down)

    def short_skip(self, name, source, channels, down):
        """Add the block's input, `source`, to what its convolutions have made of it."""
        if self.dropout:
            self.net.add(f"{name}_drop", Dropout(self.dropout))
        output = self.net.output
        if self.channels != channels:
            fit = Conv2d(channels, self.channels, 1, stride=2 if down else 1, rng=self.rng)
            self.net.add(f"{name}_fit", fit, source)
            source = f"{name}_fit"
        elif down:
            self.net.add(f"{name}_thin", MaxPool2d(1, stride=2), source)
            source = f"{name}_thin"
        self.net.add(name, Add(), output, source)

    def up_to(self, skip, channels):
        """Repeat each pixel, and add what the other path had, with as many channels, and of its size."""
        if self.channels != channels:
            self.conv(f"fit_{skip}", channels, 1)
        self.net.add(f"repeat_{skip}", Upsample2d(2))
        self.net.add(f"crop_{skip}", Crop(), f"repeat_{skip}", skip)
        self.net.add(f"join_{skip}", Add(), f"crop_{skip}", skip)
