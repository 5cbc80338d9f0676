"""FCN-32s, FCN-16s and FCN-8s: scores at stride 32, refined by the scores of pool4 and pool3, and upsampled.

A 1x1 convolution scores the classes at every place of fc7. FCN-32s upsamples these 32 times. FCN-16s upsamples
them twice, adds the scores of pool4, which lie at stride 16, and upsamples 16 times. FCN-8s does it once more
with pool3. Here the paper stops, as returns diminish; FCN-4s and FCN-2s go on with pool2 and pool1. Skips are
summed. Score layers start at zero, upsampling starts as bilinear interpolation.

Source: Long, Shelhamer & Darrell, Fully convolutional networks for semantic segmentation (2015), section 4,
and the released networks voc-fcn32s, voc-fcn16s and voc-fcn8s.
"""

from typing import Any

import numpy as np

from minifcn import initialize
from minifcn.geometry import IMAGE, crop_offset
from minifcn.layers import Add, Conv2d, ConvTranspose2d, Crop
from minifcn.models.backbones import BACKBONES
from minifcn.models.begin import begin
from minifcn.network import Network


def fcn32s(classes: int, backbone: str = "small", *, rng: Any = None, **options: Any) -> Network:
    """FCN-32s: the scores of fc7 upsampled 32 times.

    (N, H, W, 3) -> (N, H, W, classes) for every size from 1x1 up. `backbone` is "small" (`options`: widths,
    convs, fc, fc_kernel, dropout; learned upsampling), "vgg16" or "alexnet" (the released networks to the letter,
    fixed bilinear upsampling). `rng` is a seed or a generator for the random weights.
    """
    net, head = _start("fcn32s", classes, backbone, rng, options)
    head.finish("upscore", 32)
    return net


def fcn16s(
    classes: int, backbone: str = "small", *, start: Network | None = None, rng: Any = None, **options: Any
) -> Network:
    """FCN-16s: twice-upsampled scores plus those of pool4, upsampled 16 times. Arguments as for `fcn32s`.

    `start` is a trained FCN-32s with the same options, from which all layers that both have are copied: the
    paper's staged training. As the scores of pool4 start at zero, the network begins with the scores of `start`,
    only smoother: interpolating 2 times and then 16 times is not quite interpolating 32 times.
    """
    net, head = _start("fcn16s", classes, backbone, rng, options)
    head.refine("pool4")
    head.finish("upscore16", 16)
    return _continue(net, start, "fcn32s")


def fcn8s(
    classes: int, backbone: str = "small", *, start: Network | None = None, rng: Any = None, **options: Any
) -> Network:
    """FCN-8s: as FCN-16s, once more with the scores of pool3, upsampled 8 times. Arguments as for `fcn32s`.

    `start` is a trained FCN-16s with the same options.

    >>> net = fcn8s(classes=4)
    >>> net(np.zeros((1, 30, 45, 3), np.float32)).shape
    (1, 30, 45, 4)
    """
    net, head = _start("fcn8s", classes, backbone, rng, options)
    head.refine("pool4", "pool3")
    head.finish("upscore8", 8)
    return _continue(net, start, "fcn16s")


def fcn4s(
    classes: int, backbone: str = "small", *, start: Network | None = None, rng: Any = None, **options: Any
) -> Network:
    """FCN-4s: as FCN-8s, once more with the scores of pool2, upsampled 4 times. Arguments as for `fcn32s`.

    `start` is a trained FCN-8s with the same options. It is not in the paper; its geometry follows from there.
    """
    net, head = _start("fcn4s", classes, backbone, rng, options)
    head.refine("pool4", "pool3", "pool2")
    head.finish("upscore4", 4)
    return _continue(net, start, "fcn8s")


def fcn2s(
    classes: int, backbone: str = "small", *, start: Network | None = None, rng: Any = None, **options: Any
) -> Network:
    """FCN-2s: as FCN-4s, once more with the scores of pool1, upsampled twice. Arguments as for `fcn32s`.

    `start` is a trained FCN-4s with the same options.
    """
    net, head = _start("fcn2s", classes, backbone, rng, options)
    head.refine("pool4", "pool3", "pool2", "pool1")
    head.finish("upscore_pool1", 2)
    return _continue(net, start, "fcn4s")


class _Head:
    """Adds the layers behind fc7. `padded` tells the two ways to keep the image's size apart:

    In the released networks the image is padded by 100, so every skip is larger than what is upsampled to meet
    it and is cropped. With same-padding an upsampled map has the size of its skip or, where a pool rounded up,
    one more, and is cropped itself. `odd` is for AlexNet, whose odd kernels put the scores on whole pixels: only an
    odd upsampling kernel (63 in place of 64) brings them back to whole pixels.
    """

    def __init__(self, net: Network, classes: int, channels: int, padded: bool, odd: bool):
        self.net, self.classes, self.padded, self.odd = net, classes, padded, odd
        self.score("score_fr", channels, net.output)

    def score(self, name, channels, source):
        layer = Conv2d(channels, self.classes, kernel_size=1)
        layer.params["weight"][...] = 0
        self.net.add(name, layer, source)

    def upsample(self, name, factor):
        """Bilinear interpolation as a transposed convolution; fixed in the released networks."""
        K, size = self.classes, 2 * factor - self.odd
        layer = ConvTranspose2d(K, K, size, factor, padding=0 if self.padded else factor // 2, bias=False)
        layer.params["weight"][...] = initialize.bilinear(size, K)
        layer.frozen = self.padded
        self.net.add(name, layer)

    def crop(self, name, source, reference):
        """Cut `source` to the place and size of `reference`; where to start follows from the layers."""
        self.net.add(name, Crop(crop_offset(self.net, source, reference)), source, reference)

    def fuse(self, pool, upsampled):
        """Score the classes at `pool` and add them to what has been upsampled to its stride."""
        skip = f"score_{pool}"
        self.score(skip, self.net.shapes(self.net.image_shape)[pool][3], pool)
        if self.padded:
            self.crop(f"{skip}c", skip, upsampled)
            self.net.add(f"fuse_{pool}", Add(), upsampled, f"{skip}c")
        else:
            self.crop(f"{upsampled}c", upsampled, skip)
            self.net.add(f"fuse_{pool}", Add(), f"{upsampled}c", skip)

    def refine(self, *pools):
        """Upsample twice and add the scores of a pool, once for each."""
        name = "upscore2"
        for pool in pools:
            self.upsample(name, 2)
            self.fuse(pool, name)
            name = f"upscore_{pool}"

    def finish(self, name, factor):
        """Upsample to the image."""
        self.upsample(name, factor)
        self.crop("score", name, IMAGE)


def _start(model, classes, backbone, rng, options):
    net = begin(model, classes, backbone, BACKBONES, **options)
    net.image_shape = (1, 64, 64, 3) if backbone == "small" else (1, 500, 500, 3)
    if backbone == "alexnet" and model != "fcn32s":
        raise ValueError(f"{model} needs pool3, which AlexNet has not; expected fcn32s")
    channels = BACKBONES[backbone](net, np.random.default_rng(rng), **options)
    return net, _Head(net, classes, channels, padded=backbone != "small", odd=backbone == "alexnet")


def _continue(net, start, model):
    """Copy from the coarser network all parameters that both have."""
    if start is None:
        return net
    wanted = {**net.recipe, "model": model}
    if start.recipe != wanted:
        raise ValueError(f"start was made by {start.recipe}; expected {wanted}")
    for name, array in start.params.items():
        if name in net.params:
            net.params[name][...] = array
    return net
