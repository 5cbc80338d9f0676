"""Classifiers: a trunk of convolutions and fully connected layers behind it, for images of one size.

surgery.convolutionize makes them fully convolutional. Layers carry the names of the original networks.
"""

from typing import Any

import numpy as np

from minifcn.layers import Conv2d, Dropout, Flatten, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from minifcn.models.backbones import STAGES, alexnet_stages, vgg_stages
from minifcn.network import Network


def vgg16(classes: int = 1000, *, rng: Any = None) -> Network:
    """VGG16: images 224x224 -> (N, classes). 138,357,544 parameters for 1000 classes, 89 % of them in fc6-8.

    Source: Simonyan & Zisserman, Very deep convolutional networks (2015), table 1, column D.
    """
    rng, net = np.random.default_rng(rng), Network((1, 224, 224, 3))
    channels = vgg_stages(net, rng, *STAGES["vgg16"], ceil_mode=False)
    _fully_connected(net, rng, 7 * 7 * channels, (4096, 4096), classes, dropout=0.5)
    return _named(net, "vgg16", classes)


def alexnet(classes: int = 1000, *, rng: Any = None) -> Network:
    """AlexNet in the form of the BVLC reference CaffeNet: images 227x227 -> (N, classes), 60,965,224 parameters.

    Convolutions in two groups, pooling (rounding up) before local response normalisation. Source: Krizhevsky,
    Sutskever & Hinton, ImageNet classification with deep convolutional neural networks (2012), section 3.
    """
    rng, net = np.random.default_rng(rng), Network((1, 227, 227, 3))
    channels = alexnet_stages(net, rng, padding=0)
    _fully_connected(net, rng, 6 * 6 * channels, (4096, 4096), classes, dropout=0.5)
    return _named(net, "alexnet", classes)


def window_net(classes: int, *, width: int = 16, fc: int = 64, rng: Any = None) -> Network:
    """A small classifier of windows of 32x32 pixels, without any padding and with a stride of 4.

    Convolutionized, it is exactly the classifier at every fourth pixel: nothing at a window's border tells the
    network that the image ends there. It learns the toy shapes in seconds.
    """
    rng, net = np.random.default_rng(rng), Network((1, 32, 32, 3))
    _window_stages(net, rng, width)
    _fully_connected(net, rng, 4 * 4 * 4 * width, (fc,), classes, dropout=0.0)
    return _named(net, "window_net", classes, width=width, fc=fc)


def gap_net(classes: int, *, width: int = 16, rng: Any = None) -> Network:
    """The trunk of window_net with global average pooling and one linear layer: images of any size from 32x32.

    surgery.class_activation_maps shows where a class's score comes from. Sources: Lin, Chen & Yan, Network in
    network (2014), section 3.2; Zhou et al., Learning deep features for discriminative localization (2016).
    """
    rng, net = np.random.default_rng(rng), Network((1, 32, 32, 3))
    _window_stages(net, rng, width)
    net.add("gap", GlobalAvgPool2d())
    net.add("fc", Linear(4 * width, classes, rng=rng))
    return _named(net, "gap_net", classes, width=width)


def _window_stages(net, rng, width):
    """32 -> 28 -> 14 -> 12 -> 6 -> 4 pixels."""
    channels = 3
    for k, (out, kernel_size) in enumerate(((width, 5), (2 * width, 3), (4 * width, 3)), start=1):
        net.add(f"conv{k}", Conv2d(channels, out, kernel_size, rng=rng))
        net.add(f"relu{k}", ReLU())
        if k < 3:
            net.add(f"pool{k}", MaxPool2d(2))
        channels = out


def _fully_connected(net, rng, features, widths, classes, dropout):
    """Flatten, then fc6, fc7, … with rectifiers, and the layer that scores the classes."""
    net.add("flatten", Flatten())
    for k, width in enumerate(widths, start=6):
        net.add(f"fc{k}", Linear(features, width, rng=rng))
        net.add(f"relu{k}", ReLU())
        if dropout:
            net.add(f"drop{k}", Dropout(dropout))
        features = width
    net.add(f"fc{6 + len(widths)}", Linear(features, classes, rng=rng))


def _named(net, model, classes, **options):
    net.recipe = {"model": model, "classes": classes, **options}
    return net
