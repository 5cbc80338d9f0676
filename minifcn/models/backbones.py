"""The trunks of the FCNs: from the image to fc7, with pool3 and pool4 on the way.

VGG16 and the small trunk are five stages of 3x3 convolutions with a 2x2 max-pool behind each; AlexNet is its own.
All end in a classifier turned into convolutions. Pools round up, so that an image of any size, 1x1 included,
reaches the end.
"""

from collections.abc import Callable, Sequence

import numpy as np

from minifcn.layers import Conv2d, Dropout, LocalResponseNorm, MaxPool2d, ReLU
from minifcn.network import Network

# The channels of the five stages, and how many convolutions each has.
STAGES = {
    "small": ((16, 32, 64, 128, 128), (2, 2, 2, 2, 2)),
    "vgg16": ((64, 128, 256, 512, 512), (2, 2, 3, 3, 3)),
}


def vgg16(net: Network, rng: np.random.Generator, padding: int = 100) -> int:
    """VGG16 as the released FCNs have it, with 7x7 fc6. Returns the channels of fc7, 4096.

    The first convolution pads by 100, so that even a 1x1 image is large enough for fc6; the crops of the head
    take it away again. Source: Simonyan & Zisserman, Very deep convolutional networks (2015), table 1, D; the
    padding is that of the released voc-fcn32s.
    """
    channels = vgg_stages(net, rng, *STAGES["vgg16"], first_padding=padding)
    return _classifier(net, rng, channels, 4096, kernel_size=7, padding=0, dropout=0.5)


def small(
    net: Network,
    rng: np.random.Generator,
    widths: Sequence[int] = STAGES["small"][0],
    convs: int = 2,
    fc: int = 256,
    fc_kernel: int = 3,
    dropout: float = 0.0,
) -> int:
    """The same shape of network for a CPU: same-padding everywhere. Returns the channels of fc7.

    `widths` are the channels of the five stages, `convs` the convolutions in each; fc6 has `fc` channels and an
    odd kernel of `fc_kernel`. Raises ValueError if there are not five widths, convs is less than 1 or fc_kernel
    is even.
    """
    if len(widths) != 5:
        raise ValueError(f"widths is {tuple(widths)}; expected five numbers, one a stage")
    if convs < 1:
        raise ValueError(f"convs is {convs}; expected at least 1")
    if fc_kernel % 2 == 0:
        raise ValueError(f"fc_kernel is {fc_kernel}; expected an odd number, so that padding keeps the size")
    channels = vgg_stages(net, rng, widths, (convs,) * 5)
    return _classifier(net, rng, channels, fc, fc_kernel, fc_kernel // 2, dropout)


def alexnet(net: Network, rng: np.random.Generator, padding: int = 100) -> int:
    """CaffeNet as the released FCN-AlexNet has it, with 6x6 fc6. Returns the channels of fc7, 4096.

    Source: Krizhevsky, Sutskever & Hinton (2012); the padding is that of the released voc-fcn-alexnet.
    """
    channels = alexnet_stages(net, rng, padding)
    return _classifier(net, rng, channels, 4096, kernel_size=6, padding=0, dropout=0.5)


BACKBONES: dict[str, Callable[..., int]] = {"small": small, "vgg16": vgg16, "alexnet": alexnet}


def vgg_stages(
    net: Network,
    rng: np.random.Generator,
    widths: Sequence[int],
    depths: Sequence[int],
    first_padding: int = 1,
    ceil_mode: bool = True,
) -> int:
    """conv1_1 … pool5: stages of `depths` convolutions with `widths` channels. Returns the last width."""
    channels, padding = 3, first_padding
    for stage, (width, depth) in enumerate(zip(widths, depths), start=1):
        for k in range(1, depth + 1):
            net.add(f"conv{stage}_{k}", Conv2d(channels, width, kernel_size=3, padding=padding, rng=rng))
            net.add(f"relu{stage}_{k}", ReLU())
            channels, padding = width, 1
        net.add(f"pool{stage}", MaxPool2d(2, ceil_mode=ceil_mode))
    return channels


def alexnet_stages(net: Network, rng: np.random.Generator, padding: int) -> int:
    """conv1 … pool5 of CaffeNet. Returns the channels of pool5, 256."""
    channels = 3
    for k, (width, kernel_size, stride, pad, groups) in enumerate(
        ((96, 11, 4, padding, 1), (256, 5, 1, 2, 2), (384, 3, 1, 1, 1), (384, 3, 1, 1, 2), (256, 3, 1, 1, 2)),
        start=1,
    ):
        conv = Conv2d(channels, width, kernel_size, stride, pad, groups=groups, rng=rng)
        net.add(f"conv{k}", conv)
        net.add(f"relu{k}", ReLU())
        if k in (1, 2, 5):
            net.add(f"pool{k}", MaxPool2d(3, stride=2, ceil_mode=True))
        if k in (1, 2):
            net.add(f"norm{k}", LocalResponseNorm(5))
        channels = width
    return channels


def _classifier(net, rng, channels, width, kernel_size, padding, dropout):
    """fc6 and fc7 as convolutions: fc6 is a window over pool5, fc7 a 1x1."""
    for name, k, p in (("6", kernel_size, padding), ("7", 1, 0)):
        net.add(f"fc{name}", Conv2d(channels, width, kernel_size=k, padding=p, rng=rng))
        net.add(f"relu{name}", ReLU())
        if dropout:
            net.add(f"drop{name}", Dropout(dropout))
        channels = width
    return channels
