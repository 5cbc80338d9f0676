"""Networks as their papers draw them. Each is a function that returns a Network."""

from collections.abc import Callable
from typing import Any

from minifcn.models.backbones import BACKBONES
from minifcn.models.classifiers import alexnet, gap_net, vgg16, window_net
from minifcn.models.deconvnet import deconvnet
from minifcn.models.deeplab import deeplab_aspp, deeplab_largefov
from minifcn.models.dense import fc_densenet
from minifcn.models.dilated import dilated, dilated_context, dilated_context_large
from minifcn.models.fcn import fcn2s, fcn4s, fcn8s, fcn16s, fcn32s
from minifcn.models.pspnet import pspnet
from minifcn.models.residual_unet import residual_unet
from minifcn.models.segnet import segnet, segnet_basic
from minifcn.models.unet import unet
from minifcn.network import Network

MODELS: dict[str, Callable[..., Network]] = {
    "fcn32s": fcn32s,
    "fcn16s": fcn16s,
    "fcn8s": fcn8s,
    "fcn4s": fcn4s,
    "fcn2s": fcn2s,
    "unet": unet,
    "residual_unet": residual_unet,
    "fc_densenet": fc_densenet,
    "segnet": segnet,
    "segnet_basic": segnet_basic,
    "deconvnet": deconvnet,
    "dilated": dilated,
    "dilated_context": dilated_context,
    "dilated_context_large": dilated_context_large,
    "deeplab_largefov": deeplab_largefov,
    "deeplab_aspp": deeplab_aspp,
    "pspnet": pspnet,
}
# Every model of the above comes in one or more of these sizes, "small" always.
SIZES = (*BACKBONES, "paper", "milesial", "56", "67", "103")
CLASSIFIERS: dict[str, Callable[..., Network]] = {
    "vgg16": vgg16,
    "alexnet": alexnet,
    "window_net": window_net,
    "gap_net": gap_net,
}

__all__ = [
    "BACKBONES",
    "CLASSIFIERS",
    "MODELS",
    "SIZES",
    "alexnet",
    "build",
    "deconvnet",
    "deeplab_aspp",
    "deeplab_largefov",
    "dilated",
    "dilated_context",
    "dilated_context_large",
    "fc_densenet",
    "fcn2s",
    "fcn4s",
    "fcn8s",
    "fcn16s",
    "fcn32s",
    "gap_net",
    "pspnet",
    "residual_unet",
    "segnet",
    "segnet_basic",
    "unet",
    "vgg16",
    "window_net",
]


def build(model: str, classes: int, **arguments: Any) -> Network:
    """The model of that name, as `net.recipe` and the checkpoints have it. ValueError for an unknown name."""
    known = MODELS | CLASSIFIERS
    if model not in known:
        raise ValueError(f"model is {model!r}; expected one of {', '.join(known)}")
    return known[model](classes, **arguments)
