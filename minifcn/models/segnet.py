"""SegNet and SegNet-Basic: an encoder that pools, and a decoder that unpools to the places of the maxima.

SegNet's encoder is VGG16 without its fully connected layers, 90 % of its parameters; the decoder mirrors it.
SegNet-Basic, made to compare decoders, has four convolutions of 7x7 on each side, and no rectifiers in its decoder.

Source: Badrinarayanan, Kendall & Cipolla, SegNet: A deep convolutional encoder-decoder architecture for image
segmentation (2017), sections 3 and 3.1, and the released segnet and segnet_basic.
"""

from typing import Any

import numpy as np

from minifcn.layers import BatchNorm2d, Conv2d, LocalResponseNorm, MaxPool2d, MaxUnpool2d
from minifcn.models.begin import begin
from minifcn.models.encoder_decoder import STAGES, convolution, decoder, encoder
from minifcn.network import Network

BASIC_WIDTHS = {"small": 16, "paper": 64}


def segnet(classes: int, backbone: str = "small", *, rng: Any = None) -> Network:
    """SegNet: (N, H, W, 3) -> (N, H, W, classes), for every size from 1x1 up.

    `backbone` is "small" or "vgg16"; the paper starts from the weights of VGG16. `rng` is a seed or a generator for
    the random weights.

    >>> segnet(11, "vgg16").shapes((1, 360, 480, 3))["pool5"]
    (1, 12, 15, 512)
    """
    net, rng = begin("segnet", classes, backbone, STAGES), np.random.default_rng(rng)
    stages = STAGES[backbone]
    encoder(net, stages, rng)
    decoder(net, stages, rng)
    net.add("conv1_1_D", Conv2d(stages[0][0], classes, kernel_size=3, padding=1, rng=rng))
    return net


def segnet_basic(classes: int, backbone: str = "small", *, rng: Any = None) -> Network:
    """SegNet-Basic: (N, H, W, 3) -> (N, H, W, classes), for every size from 1x1 up.

    `backbone` is "paper", with 64 channels everywhere, or "small", with 16. `rng` as for `segnet`.
    """
    net, rng = begin("segnet_basic", classes, backbone, BASIC_WIDTHS), np.random.default_rng(rng)
    width = BASIC_WIDTHS[backbone]
    net.add("norm", LocalResponseNorm(5, alpha=1e-4, beta=0.75))
    for stage in range(1, 5):
        convolution(net, f"{stage}", 3 if stage == 1 else width, width, 7, rng)
        net.add(f"pool{stage}", MaxPool2d(2, ceil_mode=True))
    for stage in range(4, 0, -1):
        net.add(f"upsample{stage}", MaxUnpool2d(2, ceil_mode=True), net.output, f"relu{stage}")
        net.add(f"conv_decode{stage}", Conv2d(width, width, kernel_size=7, padding=3, rng=rng))
        net.add(f"conv_decode{stage}_bn", BatchNorm2d(width))
    net.add("conv_classifier", Conv2d(width, classes, kernel_size=1, rng=rng))
    return net
