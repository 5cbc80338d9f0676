"""A Network as an ONNX graph for images of one size, and an onnxruntime session that runs it.

ONNX is (N, C, H, W). Only the layers of the FCNs and of U-Net are here. Graphs are written node by node with the
helpers of the onnx package: PyTorch's own exporter would tell the same, but needs one more package.
"""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from benchmarks.versus_torch.rows import is_channelwise
from minifcn import layers
from minifcn.geometry import IMAGE
from minifcn.network import Network

OPSET = 17


def session(net: Network, image_shape: tuple[int, ...], threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function from (N, C, H, W) images to (N, K, H, W) scores, with onnxruntime's default optimisations."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    model = graph(net, image_shape).SerializeToString()
    runner = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda images: runner.run(None, {IMAGE: images})[0]


def graph(net: Network, image_shape: tuple[int, ...]) -> onnx.ModelProto:
    """The model, weights included."""
    shapes = net.shapes(image_shape)
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    for name, (layer, reads) in net.nodes.items():
        kind, arrays, attributes = _translate(layer, [shapes[source] for source in reads])
        for key, array in arrays.items():
            constants.append(numpy_helper.from_array(np.ascontiguousarray(array), f"{name}.{key}"))
        inputs = reads[:1] if isinstance(layer, layers.Crop) else reads
        inputs = [*inputs, *(f"{name}.{key}" for key in arrays)]
        nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, _first_channels(shapes[name]))
        for name in (IMAGE, net.output)
    ]
    body = helper.make_graph(nodes, "minifcn", ends[:1], ends[1:], constants)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def _translate(layer, shapes):
    """ONNX's operator, its constant inputs in order, and its attributes."""
    if isinstance(layer, layers.Conv2d):
        return "Conv", _parameters(layer), _window(layer.window) | {"group": layer.window.groups}
    if isinstance(layer, layers.ConvTranspose2d):
        group, arrays = layer.window.groups, _parameters(layer)
        if is_channelwise(layer):
            group = layer.in_channels
            arrays["weight"] = np.einsum("cckl->ckl", arrays["weight"])[:, None]
        options = {"group": group, "output_padding": layer.output_padding}
        return "ConvTranspose", arrays, _window(layer.window) | options
    if isinstance(layer, layers.MaxPool2d):
        return "MaxPool", {}, _window(layer.window) | {"ceil_mode": int(layer.ceil_mode)}
    if isinstance(layer, layers.Crop):
        (_, H, W, _), (top, left) = shapes[1], layer.offset
        numbers = {"starts": (top, left), "ends": (top + H, left + W), "axes": (2, 3)}
        return "Slice", {key: np.array(pair, np.int64) for key, pair in numbers.items()}, {}
    if isinstance(layer, layers.ReLU):
        return "Relu", {}, {}
    if isinstance(layer, layers.Add):
        return "Add" if len(shapes) == 2 else "Sum", {}, {}
    if isinstance(layer, layers.Concat):
        return "Concat", {}, {"axis": 1}
    if isinstance(layer, layers.Dropout):
        return "Identity", {}, {}
    raise NotImplementedError(f"{layer!r} has no twin in ONNX here")


def _window(window):
    return {
        "kernel_shape": window.kernel_size,
        "strides": window.stride,
        "pads": window.padding * 2,
        "dilations": window.dilation,
    }


def _parameters(layer):
    """In ONNX's order: the weights, then the bias, if there is one."""
    return {
        name: array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
        for name, array in sorted(layer.params.items(), reverse=True)
    }


def _first_channels(shape):
    N, H, W, C = shape
    return N, C, H, W
