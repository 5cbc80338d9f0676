"""Networks turned into other networks that compute the same.

A fully connected layer is a convolution whose kernel is as large as its input (`to_conv`), so a classifier is a
fully convolutional network (`convolutionize`); a convolution is a matrix, mostly of zeros (`to_matrix`); a stride
can be exchanged for dilation (`densify`); and global average pooling can be done last (`class_activation_maps`).
None of these changes a parameter.

Source: Long, Shelhamer & Darrell, Fully convolutional networks for semantic segmentation (2015), section 3.
"""

import copy
from math import prod

import numpy as np

from minifcn.geometry import IMAGE, view
from minifcn.layers import (
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    Crop,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
)
from minifcn.layers.base import Layer, Shape
from minifcn.network import Network


def to_conv(linear: Linear, input_shape: Shape) -> Conv2d:
    """The fully connected layer as a convolution over inputs of `input_shape` (H, W, C).

    Its kernel is H x W, its output 1x1, and its weight (H, W, C, out) is the linear layer's (H W C, out) read
    row by row: a reshape and no copy, so the two layers share their memory.
    Raises ValueError if H W C is not the number of the layer's inputs.

    >>> to_conv(Linear(3 * 3 * 5, 4096), (3, 3, 5)).params["weight"].shape
    (3, 3, 5, 4096)
    """
    H, W, C = input_shape
    if linear.in_features != H * W * C:
        raise ValueError(
            f"{linear!r} has {linear.in_features} inputs; {H}x{W}x{C} = {H * W * C} do not fit it"
        )
    conv = _bare_conv(C, linear.out_features, (H, W), "bias" in linear.params)
    conv.params = {"weight": linear.params["weight"].reshape(H, W, C, -1)} | _bias(linear)
    conv.frozen = linear.frozen
    return conv


def to_linear(conv: Conv2d, input_shape: Shape) -> Linear:
    """The other way: a convolution whose kernel covers its whole input (H, W, C) as a fully connected layer.

    Raises ValueError unless the kernel is H x W, without padding, dilation or groups.
    """
    H, W, C = input_shape
    if conv.window.kernel_size != (H, W) or conv.window.padding != (0, 0) or conv.window.dilation != (1, 1):
        raise ValueError(f"{conv!r} does not cover an input of {H}x{W} with one window")
    if conv.window.groups != 1 or conv.in_channels != C:
        raise ValueError(f"{conv!r} does not see all of the {C} channels at once")
    linear = Linear(1, 1, "bias" in conv.params)
    linear.in_features, linear.out_features = H * W * C, conv.out_channels
    linear.params = {"weight": conv.params["weight"].reshape(-1, conv.out_channels)} | _bias(conv)
    linear.frozen = conv.frozen
    return linear


def convolutionize(classifier: Network, input_shape: tuple[int, int, int]) -> Network:
    """The classifier as a fully convolutional network: a score map where it had one vector of scores.

    `input_shape` (H, W, C) is the image size that the classifier was made for. A Flatten goes; the linear layer
    behind it becomes a convolution with a kernel as large as what was flattened, a further one a 1x1
    convolution; global average pooling becomes average pooling over what it saw. Layers keep their names and
    their parameters' memory, so training the one trains the other.

    On an image of `input_shape` the map is 1x1 and holds the classifier's scores; on a larger one it holds the
    scores of windows. Raises ValueError if the classifier does not fit `input_shape`.
    """
    shapes = classifier.shapes((1, *input_shape))
    net = Network(classifier.image_shape)
    source_of: dict[str, str] = {}  # Flatten layers, which go, and what their readers read now
    flat: dict[str, Shape] = {}  # nodes that were flat, and the (H, W, C) that they keep now
    for name, (layer, reads) in classifier.nodes.items():
        seen = shapes[reads[0]]
        new: Layer = layer
        if isinstance(layer, Flatten):
            source_of[name], flat[name] = source_of.get(reads[0], reads[0]), seen[1:]
            continue
        if isinstance(layer, Linear):
            new = to_conv(layer, flat.get(reads[0], (1, 1, seen[-1])))
        elif isinstance(layer, GlobalAvgPool2d):
            new = AvgPool2d((seen[1], seen[2]), stride=1)
        elif reads[0] in flat:
            flat[name] = flat[reads[0]]  # a rectifier or dropout between Flatten and Linear
        net.add(name, new, *(source_of.get(read, read) for read in reads))
    return net


def class_activation_maps(classifier: Network) -> Network:
    """Where the score of a class comes from: a network that gives a map for each class.

    For a classifier that ends in global average pooling and one linear layer w, b. Both are linear, so they
    may change places: M_c(y, x) = sum over k of w[k, c] f_k(y, x) + b[c], and the mean of M_c over the image is
    the class's score. Source: Zhou et al., Learning deep features for discriminative localization (2016).

    Raises ValueError if the classifier does not end like this.
    """
    last = [node.layer for node in classifier.nodes.values()][-2:]
    if [type(layer) for layer in last] != [GlobalAvgPool2d, Linear]:
        raise ValueError(f"expected a network that ends in GlobalAvgPool2d and Linear, got {last}")
    *trunk, (_, pool), (name, (linear, _)) = classifier.nodes.items()
    assert isinstance(linear, Linear)
    net = Network(classifier.image_shape)
    for trunk_name, (layer, reads) in trunk:
        net.add(trunk_name, layer, *reads)
    net.add(name, to_conv(linear, (1, 1, linear.in_features)), *pool.reads)
    return net


def to_matrix(layer: Conv2d | ConvTranspose2d, input_shape: tuple[int, int, int]) -> np.ndarray:
    """The matrix M with y.ravel() = M x.ravel() + bias, for one image of `input_shape` (H, W, C).

    Its shape is (Ho Wo C_out, H W C). Each row of a convolution's matrix holds the kernel at one place and
    zeros elsewhere. The transpose is the matrix of the input gradient, and of the transposed convolution with
    the same weights. Memory grows with the square of the image: meant for small ones.
    """
    _, Ho, Wo, K = layer.output_shape((1, *input_shape))
    if isinstance(layer, ConvTranspose2d):
        return _conv_matrix(layer, (Ho, Wo, K), input_shape).T
    return _conv_matrix(layer, input_shape, (Ho, Wo, K))


def _conv_matrix(layer, input_shape, output_shape):
    """M[(i, j, o), (h, w, c)] = weight[u, v, c, o] where h = i s + u d - p and w = j s + v d - p."""
    (H, W, C), (Ho, Wo, K) = input_shape, output_shape
    weight, window = layer.params["weight"], layer.window
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = (
        window.kernel_size,
        window.stride,
        window.padding,
        window.dilation,
    )
    matrix = np.zeros((Ho, Wo, K, H, W, C), weight.dtype)
    Cg, Kg = C // window.groups, K // window.groups
    for g in range(window.groups):
        inputs, outputs = slice(g * Cg, (g + 1) * Cg), slice(g * Kg, (g + 1) * Kg)
        for i in range(Ho):
            for j in range(Wo):
                for u in range(kh):
                    for v in range(kw):
                        h, w = i * sh + u * dh - ph, j * sw + v * dw - pw
                        if 0 <= h < H and 0 <= w < W:
                            matrix[i, j, outputs, h, w, inputs] = weight[u, v, :, outputs].T
    return matrix.reshape(Ho * Wo * K, H * W * C)


def densify(net: Network, stride: int) -> Network:
    """The network with its stride lowered to `stride` and everything behind a lowered stride dilated.

    Where a layer moved on by s pixels it now moves by less, and all later kernels and pooling windows reach
    that much further between their taps. The map is the one that shifted passes give when they are interlaced
    (inference.shift_and_stitch), for networks without padding whose pooling rounds down. Parameters are shared
    with `net`.

    Raises ValueError if `stride` does not divide the network's stride, if the layers' strides cannot be lowered to
    it, or if a layer cannot be dilated (fully connected ones: `convolutionize` first).

    Source: Long et al. (2015), section 3.2, "filter rarefaction"; the algorithme à trous.
    """
    total = view(net, net.output).stride
    if total == 0:
        raise ValueError("the network gives one output for the whole image: convolutionize it first")
    if total.denominator != 1 or stride < 1 or total % stride:
        raise ValueError(f"stride is {stride}; expected a divisor of the network's stride, {total}")
    dense = Network(net.image_shape)
    reached = {IMAGE: 1}  # the stride of each node in the new network …
    rate = {IMAGE: 1}  # … and how often denser than before it is
    for name, (layer, reads) in net.nodes.items():
        dilation = rate[reads[0]]
        if any(rate[read] != dilation for read in reads):
            raise ValueError(f"{name} joins branches of different density")
        new, moved = _dilated(layer, name, dilation, stride, reached[reads[0]])
        before = getattr(getattr(layer, "window", layer), "stride", (1, 1))[0]
        reached[name] = reached[reads[0]] * moved
        rate[name] = dilation * before // moved
        dense.add(name, new, *reads)
    if reached[net.output] != stride:
        raise ValueError(
            f"stride is {stride}; the layers' strides can only be lowered to {reached[net.output]}"
        )
    return dense


def _dilated(layer, name, dilation, most, reached):
    """The layer on an input `dilation` times as dense, and the stride it keeps: at most `most` in all."""
    if isinstance(layer, Crop):
        return Crop((layer.offset[0] * dilation, layer.offset[1] * dilation)), 1
    if not isinstance(layer, (Conv2d, MaxPool2d, AvgPool2d)):
        if any(footprint != (1, 0, 0) for footprint in layer.footprint()):
            raise ValueError(f"{name}: {layer!r} cannot be dilated")
        return layer, 1
    old = layer.window
    if old.stride[0] != old.stride[1]:
        raise ValueError(f"{name}: {layer!r} has two strides")
    kept = old.stride[0] if reached * old.stride[0] <= most else max(1, most // reached)
    if old.stride[0] % kept:
        raise ValueError(f"{name}: a stride of {old.stride[0]} cannot become {kept}")
    new = copy.copy(layer)  # shares the parameters
    new.window = old._replace(
        stride=(kept, kept),
        padding=(old.padding[0] * dilation, old.padding[1] * dilation),
        dilation=(old.dilation[0] * dilation, old.dilation[1] * dilation),
    )
    return new, kept


def multiply_adds(net: Network, image_shape: Shape) -> int:
    """The multiplications (each with an addition) of one forward pass over images of `image_shape`.

    Counted for convolutions and fully connected layers, where nearly all of the work is.
    """
    shapes = net.shapes(image_shape)
    total = 0
    for name, (layer, reads) in net.nodes.items():
        if isinstance(layer, (Conv2d, Linear)):
            total += prod(shapes[name][:-1]) * layer.params["weight"].size
        elif isinstance(layer, ConvTranspose2d):
            total += prod(shapes[reads[0]][:-1]) * layer.params["weight"].size
    return total


def _bare_conv(in_channels, out_channels, kernel_size, bias):
    """A Conv2d whose parameters are still to be put in: drawing 100 million random weights takes a second."""
    conv = Conv2d(1, 1, kernel_size, bias=bias)
    conv.in_channels, conv.out_channels = in_channels, out_channels
    return conv


def _bias(layer):
    return {"bias": layer.params["bias"]} if "bias" in layer.params else {}
