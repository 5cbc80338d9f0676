"""What a layer means: shapes checked, forward, backward, parameters."""

from minifcn.layers.activation import Dropout, ReLU, Sigmoid, Softmax, Tanh
from minifcn.layers.base import Footprint, Layer
from minifcn.layers.batch_norm import BatchNorm2d
from minifcn.layers.conv import Conv2d, ConvTranspose2d
from minifcn.layers.linear import Flatten, Linear
from minifcn.layers.merge import Add, Concat, Crop
from minifcn.layers.normalization import LocalResponseNorm
from minifcn.layers.padding import Pad2d
from minifcn.layers.pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from minifcn.layers.resampling import AdaptiveAvgPool2d, ResizeLike, Upsample2d
from minifcn.layers.unpooling import MaxUnpool2d

__all__ = [
    "AdaptiveAvgPool2d",
    "Add",
    "AvgPool2d",
    "BatchNorm2d",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "Crop",
    "Dropout",
    "Flatten",
    "Footprint",
    "GlobalAvgPool2d",
    "Layer",
    "Linear",
    "LocalResponseNorm",
    "MaxPool2d",
    "MaxUnpool2d",
    "Pad2d",
    "ReLU",
    "ResizeLike",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Upsample2d",
]
