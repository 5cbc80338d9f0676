"""An encoder with the convolutions of VGG16, and a decoder that is its mirror image.

The encoder is five stages of 3x3 convolutions, each normalised and rectified, with a pooling behind each stage.
The decoder has the same convolutions in reverse: where the encoder's conv4_1 leads from 256 channels to 512,
conv4_1_D leads from 512 back to 256. Where the encoder pools, the decoder unpools: each number goes back to where
the pooling has found its maximum, and convolutions fill what is left empty. In place of skips, the decoder so gets
the places of the maxima. They say where borders are, and take two bits for four pixels.

Poolings round up, and unpooling restores the size that was pooled: an image may have any size.

Source: Badrinarayanan, Kendall & Cipolla, SegNet: A deep convolutional encoder-decoder architecture for image
segmentation (2017), section 3; names as in the released network.
"""

from collections.abc import Sequence

import numpy as np

from minifcn.layers import BatchNorm2d, Conv2d, MaxPool2d, MaxUnpool2d, ReLU
from minifcn.models import backbones
from minifcn.network import Network

Stages = Sequence[tuple[int, int]]

# Of each stage the channels, and how many convolutions it has.
STAGES: dict[str, Stages] = {name: tuple(zip(*stages)) for name, stages in backbones.STAGES.items()}


def encoder(net: Network, stages: Stages, rng: np.random.Generator) -> None:
    """conv1_1 … pool5: (N, H, W, 3) -> (N, ⌈H / 32⌉, ⌈W / 32⌉, channels of the last stage)."""
    channels = 3
    for stage, (width, depth) in enumerate(stages, start=1):
        for k in range(1, depth + 1):
            convolution(net, f"{stage}_{k}", channels, width, 3, rng)
            channels = width
        net.add(f"pool{stage}", MaxPool2d(2, ceil_mode=True))


def decoder(net: Network, stages: Stages, rng: np.random.Generator) -> None:
    """upsample5 … relu1_2_D: back to (N, H, W, channels of the first stage); without what mirrors conv1_1."""
    for stage, (width, depth) in reversed([*enumerate(stages, start=1)]):
        net.add(f"upsample{stage}", MaxUnpool2d(2, ceil_mode=True), net.output, f"relu{stage}_{depth}")
        for k in range(depth, 1, -1):
            convolution(net, f"{stage}_{k}_D", width, width, 3, rng)
        if stage > 1:
            convolution(net, f"{stage}_1_D", width, stages[stage - 2][0], 3, rng)


def convolution(
    net: Network, name: str, channels: int, width: int, kernel_size: int, rng: np.random.Generator
) -> None:
    """conv, conv_bn and relu of this name: a convolution that keeps the size, normalised and rectified."""
    net.add(f"conv{name}", Conv2d(channels, width, kernel_size, padding=kernel_size // 2, rng=rng))
    net.add(f"conv{name}_bn", BatchNorm2d(width))
    net.add(f"relu{name}", ReLU())
