"""FC-DenseNet, the One Hundred Layers Tiramisu: the two paths of U-Net, made of dense blocks.

A layer of a dense block reads the block's input and what all layers before it have made, and adds k maps of its
own ("growth rate"): no layer has to compute again what another has found. Going down, the block's input goes along.
Going up, that would make the maps too many: only what is new in a block is upsampled, and the skip brings the rest.

A layer is batch normalisation, rectifier, 3x3 convolution and dropout. A transition down is the same with a 1x1
convolution, and a pooling; a transition up is a transposed 3x3 convolution with a stride of 2.

Source: Jégou, Drozdzal, Vazquez, Romero & Bengio, The one hundred layers Tiramisu (2017), tables 1 and 2; the
widths are those of the authors' code, SimJeg/FC-DenseNet (table 2 prints some of them less by 16).
"""

from typing import Any, NamedTuple

import numpy as np

from minifcn.layers import BatchNorm2d, Concat, Conv2d, ConvTranspose2d, Crop, Dropout, MaxPool2d, ReLU
from minifcn.models.begin import begin
from minifcn.network import Network


class Size(NamedTuple):
    """How large an FC-DenseNet is."""

    first: int  # channels of the first convolution
    growth: int
    layers: tuple[int, ...]  # of each block on the way down; on the way up the same, in reverse
    middle: int  # layers of the block between


SIZES_OF = {
    "small": Size(16, 8, (2, 3, 4), 5),
    "56": Size(48, 12, (4, 4, 4, 4, 4), 4),
    "67": Size(48, 16, (5, 5, 5, 5, 5), 5),
    "103": Size(48, 16, (4, 5, 7, 10, 12), 15),
}


def fc_densenet(classes: int, backbone: str = "small", *, rng: Any = None) -> Network:
    """(N, H, W, 3) -> (N, H, W, classes), for every size from 32x32 up; "small" from 1x1 up.

    `backbone` is "56", "67" or "103", the number of convolutions, or "small". The authors' networks have dropout,
    and take the statistics of the batch even when the training is over: they cannot be cut into tiles. "small" has
    no dropout, and running averages. `rng` is a seed or a generator for the random weights.

    >>> fc_densenet(11, "103").shapes((1, 224, 224, 3))["middle15"]  # 656 come in, 15 layers add 16 each
    (1, 7, 7, 896)
    """
    net, rng = begin("fc_densenet", classes, backbone, SIZES_OF), np.random.default_rng(rng)
    paper = backbone != "small"
    net.image_shape = (1, 224, 224, 3) if paper else (1, 64, 64, 3)
    first, growth, layers, middle = SIZES_OF[backbone]
    path = _Path(net, growth, paper, rng)

    net.add("conv", Conv2d(3, first, kernel_size=3, padding=1, rng=rng))
    channels, skips = first, []
    for level, depth in enumerate(layers, start=1):
        path.dense_block(f"down{level}_", depth, channels)
        channels += depth * growth
        skips.append((net.output, channels))
        path.layer(f"td{level}", channels, channels, kernel_size=1)
        net.add(f"td{level}", MaxPool2d(2, ceil_mode=not paper))
    new = path.dense_block("middle", middle, channels)
    for level in range(len(layers), 0, -1):
        skip, skipped = skips.pop()
        net.add(f"new{level}", Concat(), *new)
        width = len(new) * growth
        net.add(f"tu{level}", ConvTranspose2d(width, width, kernel_size=3, stride=2, rng=rng))
        net.add(f"crop{level}", Crop(), f"tu{level}", skip)  # of 2n + 1 pixels, the last ones go
        net.add(f"concat{level}", Concat(), f"crop{level}", skip)
        channels = width + skipped
        new = path.dense_block(f"up{level}_", layers[level - 1], channels)
    net.add("score", Conv2d(channels + len(new) * growth, classes, kernel_size=1, rng=rng))
    return net


class _Path:
    """Adds layers and blocks behind the network's last layer; `paper` tells the authors' networks."""

    def __init__(self, net: Network, growth: int, paper: bool, rng: np.random.Generator):
        self.net, self.growth, self.paper, self.rng = net, growth, paper, rng

    def layer(self, name, channels, width, kernel_size):
        """Normalised, rectified, convolved, some of it dropped. Returns the name of what comes out."""
        net, padding = self.net, kernel_size // 2
        net.add(f"{name}_bn", BatchNorm2d(channels, batch_statistics=self.paper))
        net.add(f"{name}_relu", ReLU())
        net.add(f"{name}_conv", Conv2d(channels, width, kernel_size, padding=padding, rng=self.rng))
        if self.paper:
            net.add(f"{name}_drop", Dropout(0.2))
        return net.output

    def dense_block(self, name, depth, channels):
        """`depth` layers, each behind all before it. Returns the names of what they have made."""
        new = []
        for k in range(1, depth + 1):
            stack = self.net.output
            new.append(self.layer(f"{name}{k}", channels, self.growth, kernel_size=3))
            self.net.add(f"{name}{k}", Concat(), stack, new[-1])
            channels += self.growth
        return new
