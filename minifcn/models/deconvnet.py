"""DeconvNet: VGG16 with its fully connected layers, and the same once more, turned around.

The encoder ends in fc6 and fc7, which see a whole 224x224 image at one place. The decoder mirrors it layer by
layer: a transposed 7x7 convolution spreads that place out again, and each pooling has an unpooling, which brings
every number back to where the maximum was. What lies between these places is empty, until transposed convolutions
of stride 1 have filled it. Every convolution but the last is normalised and rectified.

In place of unpooling, the decoder can also upsample by transposed convolutions of stride 2, or by repeating pixels,
which together with the convolution behind it is the resize-convolution of Odena et al.
`python -m benchmarks.checkerboards` measures which of the three draw checkerboards.

Sources: Noh, Hong & Han, Learning deconvolution network for semantic segmentation (2015), section 3, and the
released stage_1_train.prototxt, whose names the layers have (a normalisation that of its convolution, and _bn).
Its random weights have a deviation of 0.01, ours He's: the normalisation behind them makes both the same. Odena,
Dumoulin & Olah, Deconvolution and checkerboard artifacts (2016).
"""

from typing import Any, NamedTuple

import numpy as np

from minifcn.geometry import crop_offset
from minifcn.layers import BatchNorm2d, Conv2d, ConvTranspose2d, Crop, MaxUnpool2d, ReLU, Upsample2d
from minifcn.layers.base import Layer
from minifcn.models.begin import begin
from minifcn.models.encoder_decoder import STAGES, encoder
from minifcn.network import Network

UPSAMPLINGS = ("unpool", "transposed", "resize")


class Middle(NamedTuple):
    """The channels of fc6 and fc7, the kernel of fc6, and its padding."""

    channels: int
    kernel_size: int
    padding: int


MIDDLES = {"small": Middle(256, 3, 1), "vgg16": Middle(4096, 7, 0)}


def deconvnet(
    classes: int, backbone: str = "small", *, upsampling: str = "unpool", rng: Any = None
) -> Network:
    """DeconvNet: (N, H, W, 3) -> (N, H, W, classes).

    `backbone` is "small", for every size from 1x1 up, or "vgg16", the released network, for 193x193 and more: the
    7x7 kernel of fc6 must fit into pool5. `upsampling` is "unpool" (the paper's), "transposed" (kernels of 4x4
    pixels, which overlap evenly) or "resize" (pixels are repeated). `rng` is a seed or a generator for the random
    weights. Raises ValueError for another backbone or upsampling.

    >>> shapes = deconvnet(4).shapes((1, 50, 70, 3))
    >>> shapes["pool5"], shapes["unpool5"], shapes["seg_score"]
    ((1, 2, 3, 128), (1, 4, 5, 128), (1, 50, 70, 4))
    """
    if upsampling not in UPSAMPLINGS:
        raise ValueError(f"upsampling is {upsampling!r}; expected one of {', '.join(UPSAMPLINGS)}")
    net = begin("deconvnet", classes, backbone, MIDDLES, upsampling=upsampling)
    net.image_shape = (1, 224, 224, 3) if backbone == "vgg16" else (1, 64, 64, 3)
    rng = np.random.default_rng(rng)
    stages, (fc, kernel_size, padding) = STAGES[backbone], MIDDLES[backbone]

    encoder(net, stages, rng)
    channels = stages[-1][0]
    _normalized(net, "fc6", Conv2d(channels, fc, kernel_size, padding=padding, rng=rng), "relu6")
    _normalized(net, "fc7", Conv2d(fc, fc, kernel_size=1, rng=rng), "relu7")
    spread = ConvTranspose2d(fc, channels, kernel_size, padding=padding, rng=rng)
    _normalized(net, "fc6_deconv", spread, "fc6_deconv_relu")

    for stage, (width, depth) in reversed([*enumerate(stages, start=1)]):
        _upsample(net, stage, channels, f"relu{stage}_{depth}", upsampling, rng)
        below = stages[max(stage - 2, 0)][0]
        for k, out in enumerate([width] * (depth - 1) + [below], start=1):
            deconv = ConvTranspose2d(channels, out, kernel_size=3, padding=1, rng=rng)
            _normalized(net, f"deconv{stage}_{k}", deconv, f"derelu{stage}_{k}")
            channels = out
    net.add("seg_score", Conv2d(channels, classes, kernel_size=1, rng=rng))
    return net


def _normalized(net: Network, name: str, layer: Conv2d | ConvTranspose2d, relu: str) -> None:
    net.add(name, layer)
    net.add(f"{name}_bn", BatchNorm2d(layer.out_channels))
    net.add(relu, ReLU())


def _upsample(
    net: Network, stage: int, channels: int, pooled: str, upsampling: str, rng: np.random.Generator
) -> None:
    """To the size of `pooled`, the map that the pooling of this stage has read."""
    if upsampling == "unpool":
        net.add(f"unpool{stage}", MaxUnpool2d(2, ceil_mode=True), net.output, pooled)
        return
    layer: Layer = Upsample2d(2)
    if upsampling == "transposed":
        layer = ConvTranspose2d(channels, channels, kernel_size=4, stride=2, padding=1, rng=rng)
    net.add(f"up{stage}", layer)
    net.add(f"crop{stage}", Crop(crop_offset(net, f"up{stage}", pooled)), f"up{stage}", pooled)
