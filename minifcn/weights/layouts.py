"""How a weight lies in memory, there and here.

PyTorch and Caffe put channels first, minifcn puts them last. For every kind of layer that is one permutation:

    theirs (O, C, H, W)   <->   ours (H, W, C, O)

* Conv2d: O output channels, C input channels of a group, the kernel H x W.
* ConvTranspose2d: O input channels, C output channels of a group; the weight of the convolution that it is the
  gradient of, in both worlds.
* Linear: theirs is (O, C H W), ours (H W C, O). H x W is the size of the maps that a Flatten before it makes
  into a row; with no Flatten it is 1 x 1, and all that remains is a transposition.
* A fully connected layer that became a convolution (fc6, fc7) is (O, C H W) there and (H, W, C, O) here: it is
  reshaped first. Long, Shelhamer & Darrell (2015), section 3.1.
* DeepLab's fc6 and fc7 are such layers with fewer taps and channels: `thinned`.
"""

from math import isqrt, prod

import numpy as np

from minifcn.layers import Flatten
from minifcn.layers.base import POINTWISE, Pair, Shape
from minifcn.network import Network


def window(net: Network, name: str) -> Pair:
    """The H and W of the weight `name`, such as "fc6.weight": of its kernel, or of what is flattened before it.

    What a Flatten sees depends on the size of the image: it is taken to be `net.image_shape`.
    """
    layer, reads = net.nodes[name.partition(".")[0]]
    shape = layer.params["weight"].shape
    if len(shape) == 4:
        return shape[0], shape[1]
    source = reads[0]
    while source in net.nodes and net.nodes[source].layer.footprint() == POINTWISE:  # dropout, say
        source = net.nodes[source].reads[0]
    if source in net.nodes and isinstance(net.nodes[source].layer, Flatten):
        _, H, W, _ = net.shapes(net.image_shape)[net.nodes[source].reads[0]]
        return H, W
    return 1, 1


def to_ours(theirs: np.ndarray, shape: Shape, window: Pair) -> np.ndarray:
    """A weight of theirs, (O, C, H, W) or (O, C H W), in our `shape`. ValueError if it has any other shape.

    >>> to_ours(np.arange(4).reshape(2, 2), (2, 2), window=(1, 1)).tolist()
    [[0, 2], [1, 3]]
    """
    convolution, connected = _their_shapes(shape, window)
    if theirs.shape not in (convolution, connected):
        expected = convolution if len(shape) == 4 else connected
        raise ValueError(f"shape {theirs.shape}, expected {expected}")
    return theirs.reshape(convolution).transpose(2, 3, 1, 0).reshape(shape)


def thinned(theirs: np.ndarray, shape: Shape) -> np.ndarray:
    """A weight or bias of theirs in our `shape`, (H, W, C, O) or (O,), with some of its taps and channels only.

    Of seven taps, three are the first, the fourth and the last; of 4096 channels, 1024 are every fourth. What a
    layer puts out is what the next one, thinned as well, reads. ValueError if theirs has not as many of each.
    Source: Chen et al., Semantic image segmentation with deep convolutional nets and fully connected CRFs (2015),
    section 3.2.

    >>> thinned(np.arange(8.0), (4,)).tolist()
    [0.0, 2.0, 4.0, 6.0]
    """
    if len(shape) == 1:
        return theirs[_every(len(theirs), shape[0])]
    h, w, c, o = shape
    if theirs.ndim == 2:
        # A window of several taps reads the maps of a convolution, of which all channels stay.
        side = isqrt(theirs.shape[1] // c) if h > 1 else 1
        theirs = theirs.reshape(len(theirs), -1, side, side)
    outputs, inputs, height, width = theirs.shape
    kept = np.ix_(_every(outputs, o), _every(inputs, c), _taps(height, h), _taps(width, w))
    return theirs[kept].transpose(2, 3, 1, 0)


def _every(channels, kept):
    if kept > channels:
        raise ValueError(f"{channels} channels, expected at least {kept}")
    return np.arange(kept) * channels // kept


def _taps(size, kept):
    if kept > size:
        raise ValueError(f"a kernel of {size}, expected at least {kept}")
    return np.linspace(0, size - 1, kept).round().astype(int)


def to_theirs(ours: np.ndarray, window: Pair) -> np.ndarray:
    """The reverse: (O, C, H, W) for a convolution, (O, C H W) for a linear layer."""
    _, connected = _their_shapes(ours.shape, window)
    theirs = ours.reshape(*window, -1, ours.shape[-1]).transpose(3, 2, 0, 1)
    return theirs if ours.ndim == 4 else theirs.reshape(connected)


def _their_shapes(ours: Shape, window: Pair) -> tuple[Shape, Shape]:
    """(O, C, H, W) and (O, C H W)."""
    inputs, outputs = prod(ours[:-1]), ours[-1]
    return (outputs, inputs // prod(window), *window), (outputs, inputs)


def bfloat16(bits: np.ndarray) -> np.ndarray:
    """bfloat16 as float32, from its 16 bits as uint16: they are the upper half of a float32.

    >>> bfloat16(np.array([0x3F80, 0xC000], np.uint16)).tolist()
    [1.0, -2.0]
    """
    return (bits.astype(np.uint32) << 16).view(np.float32)
