"""Conv2d and ConvTranspose2d: gradients, the identities that tie them together, and PyTorch."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn.check import check_layer
from minifcn.check.cases import conv2d, conv_transpose2d, distinct
from minifcn.kernels.convolution import fits
from minifcn.kernels.jit import CHECKED
from minifcn.kernels.recording import Recording
from minifcn.layers import Conv2d, ConvTranspose2d, Linear, MaxPool2d, ReLU

seeds = st.integers(0, 2**32 - 1)
small = st.one_of(conv2d(), conv_transpose2d())
large = st.one_of(conv2d(more=12, channels=12), conv_transpose2d(more=8, channels=12))


def close(found, expected, tolerance=1e-12):
    """Equal up to the rounding of sums: `tolerance` times the largest number."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(1.0, np.abs(expected).max()))


def everything(layer, x, seed):
    """What a layer computes from x and a drawn dy: y, dx, and the gradients of its parameters."""
    y, cache = layer.forward(x)
    dx, grads = layer.backward(np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype), cache)
    return {"y": y, "dx": dx, **grads}


def options(layer):
    """What the layer was made with, but for its channels."""
    window = layer.window
    found = {
        "kernel_size": window.kernel_size,
        "stride": window.stride,
        "padding": window.padding,
        "dilation": window.dilation,
        "groups": window.groups,
        "bias": "bias" in layer.params,
    }
    return found | ({"output_padding": layer.output_padding} if isinstance(layer, ConvTranspose2d) else {})


# ---------------------------------------------------------------- gradients


@given(case=small, data=st.data(), seed=seeds)
def test_gradients(case, data, seed):
    layer, shape = case
    check_layer(layer, data.draw(distinct(shape)), rng=seed)


@given(case=large, data=st.data(), seed=seeds)
def test_adjoint(case, data, seed):
    layer, shape = case
    check_layer(layer, data.draw(distinct(shape)), rng=seed, adjoint=True)


@given(case=large, data=st.data(), seed=seeds)
def test_float32_agrees_with_float64(case, data, seed):
    layer, shape = case
    x = data.draw(distinct(shape))
    expected = everything(layer, x, seed)
    layer.params = {name: array.astype(np.float32) for name, array in layer.params.items()}
    found = everything(layer, x.astype(np.float32), seed)
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name].dtype == np.float32
        close(found[name], expected[name], 1e-5)


@given(case=small, data=st.data(), seed=seeds)
def test_backward_computes_only_what_is_asked_for(case, data, seed):
    layer, shape = case
    y, cache = layer.forward(data.draw(distinct(shape)))
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    dx, grads = layer.backward(dy, cache)
    only_dx, no_grads = layer.backward(dy, cache, needs=("input",))
    no_dx, only_grads = layer.backward(dy, cache, needs=("parameters",))
    assert no_dx is None and no_grads == {}
    np.testing.assert_array_equal(only_dx, dx)
    assert only_grads.keys() == grads.keys() == layer.params.keys()
    for name in grads:
        np.testing.assert_array_equal(only_grads[name], grads[name])


# ---------------------------------------------------------------- identities


@given(case=conv2d(), data=st.data(), seed=seeds)
def test_each_is_the_gradient_of_the_other(case, data, seed):
    conv, (N, H, W, C) = case
    conv.params.pop("bias", None)
    x = data.draw(distinct((N, H, W, C)))
    y, cache = conv.forward(x)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    dx, grads = conv.backward(dy, cache)

    window = conv.window
    back = [  # the size that the transposed convolution would give without output padding
        (n - 1) * s - 2 * p + d * (k - 1) + 1
        for n, k, s, p, d in zip(
            y.shape[1:3], window.kernel_size, window.stride, window.padding, window.dilation
        )
    ]
    transposed = ConvTranspose2d(
        conv.out_channels,
        conv.in_channels,
        window.kernel_size,
        window.stride,
        window.padding,
        output_padding=(H - back[0], W - back[1]),
        groups=window.groups,
        bias=False,
        dilation=window.dilation,
        dtype=np.float64,
    )
    assert transposed.params["weight"].shape == conv.params["weight"].shape
    transposed.params = conv.params
    painted, cache = transposed.forward(dy)
    swept, transposed_grads = transposed.backward(x, cache)
    close(painted, dx)
    close(swept, y)
    close(transposed_grads["weight"], grads["weight"])


@st.composite
def unpadded(draw):
    """A Conv2d without padding, and an image of at least two places for its kernel in each direction."""
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = draw(pairs), draw(pairs), draw(pairs)
    C_in, C_out = draw(pairs)
    H, W = (d * (k - 1) + 1 + s + draw(st.integers(0, 6)) for k, s, d in zip(kernel, stride, dilation))
    layer = Conv2d(C_in, C_out, kernel, stride, 0, dilation, rng=draw(seeds), dtype=np.float64)
    layer.params["bias"][:] = draw(distinct((C_out,)))
    return layer, draw(distinct((draw(st.integers(1, 2)), H, W, C_in)))


@given(case=unpadded())
def test_a_shifted_image_gives_a_shifted_output(case):
    conv, x = case
    sh, sw = conv.window.stride
    y, _ = conv.forward(x)
    down, _ = conv.forward(x[:, sh:])
    right, _ = conv.forward(x[:, :, sw:])
    close(down, y[:, 1:])
    close(right, y[:, :, 1:])


@given(case=unpadded())
def test_stride_keeps_every_so_manieth_output(case):
    conv, x = case
    window = conv.window
    dense = Conv2d(
        conv.in_channels, conv.out_channels, window.kernel_size, 1, 0, window.dilation, dtype=np.float64
    )
    dense.params = conv.params
    close(conv.forward(x)[0], dense.forward(x)[0][:, :: window.stride[0], :: window.stride[1]])


@given(case=unpadded(), padding=st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_padding_is_a_frame_of_zeros(case, padding):
    conv, x = case
    window = conv.window
    padded = Conv2d(
        conv.in_channels,
        conv.out_channels,
        window.kernel_size,
        window.stride,
        padding,
        window.dilation,
        dtype=np.float64,
    )
    padded.params = conv.params
    (ph, pw) = padding
    frame = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    close(padded.forward(x)[0], conv.forward(frame)[0])


@given(case=unpadded())
def test_dilation_is_a_kernel_with_holes(case):
    conv, x = case
    window, w = conv.window, conv.params["weight"]
    (kh, kw), (dh, dw) = window.kernel_size, window.dilation
    holes = np.zeros((dh * (kh - 1) + 1, dw * (kw - 1) + 1, *w.shape[2:]))
    holes[::dh, ::dw] = w
    full = Conv2d(conv.in_channels, conv.out_channels, holes.shape[:2], window.stride, dtype=np.float64)
    full.params = conv.params | {"weight": holes}
    close(conv.forward(x)[0], full.forward(x)[0])


@given(case=small, data=st.data())
def test_groups_are_independent_layers_side_by_side(case, data):
    layer, shape = case
    x = data.draw(distinct(shape))
    groups, parts = layer.window.groups, []
    for group, channels in enumerate(np.split(x, groups, axis=3)):
        sizes = layer.in_channels // groups, layer.out_channels // groups
        part = type(layer)(*sizes, **(options(layer) | {"groups": 1}), dtype=np.float64)
        outputs = np.split(np.arange(layer.out_channels), groups)[group]
        last = np.split(np.arange(layer.params["weight"].shape[3]), groups)[group]
        part.params["weight"] = layer.params["weight"][..., last]
        if "bias" in layer.params:
            part.params["bias"] = layer.params["bias"][outputs]
        parts.append(part.forward(channels)[0])
    close(layer.forward(x)[0], np.concatenate(parts, axis=3))


@given(data=st.data(), seed=seeds)
def test_a_1x1_convolution_is_a_linear_layer_at_every_pixel(data, seed):
    N, H, W, C_in, C_out = data.draw(st.tuples(*[st.integers(1, 5)] * 5))
    conv = Conv2d(C_in, C_out, kernel_size=1, rng=seed, dtype=np.float64)
    linear = Linear(C_in, C_out, rng=seed, dtype=np.float64)
    conv.params["bias"] = linear.params["bias"] = data.draw(distinct((C_out,)))
    linear.params["weight"] = conv.params["weight"][0, 0]
    x = data.draw(distinct((N, H, W, C_in)))
    expected = everything(linear, x, seed)
    found = everything(conv, x, seed)
    for name in expected:
        close(found[name].reshape(expected[name].shape), expected[name])


@given(case=conv_transpose2d(), data=st.data())
def test_output_padding_only_adds_pixels_at_the_far_sides(case, data):
    layer, shape = case
    x = data.draw(distinct(shape))
    whole, _ = layer.forward(x)
    bottom, right = layer.output_padding
    layer.output_padding = (0, 0)
    if min(whole.shape[1] - bottom, whole.shape[2] - right) < 1:
        with pytest.raises(ValueError, match="leaves nothing"):
            layer.forward(x)
        return
    np.testing.assert_array_equal(
        whole[:, : whole.shape[1] - bottom, : whole.shape[2] - right], layer.forward(x)[0]
    )


def test_output_padding_of_a_dilated_1x1_kernel():
    layer = ConvTranspose2d(1, 1, kernel_size=1, output_padding=1, dilation=2, rng=0, dtype=np.float64)
    layer.params["bias"][:] = 5.0
    x = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    w = layer.params["weight"].item()
    y, cache = layer.forward(x)
    close(y[0, :, :, 0], [[w + 5, 2 * w + 5, 5], [3 * w + 5, 4 * w + 5, 5], [5, 5, 5]])
    dx, grads = layer.backward(np.arange(9.0).reshape(1, 3, 3, 1), cache)
    close(dx[0, :, :, 0], [[0, w], [3 * w, 4 * w]])
    assert grads["weight"].item() == 0 * 1 + 1 * 2 + 3 * 3 + 4 * 4


def test_a_transposed_convolution_paints_its_kernel():
    layer = ConvTranspose2d(1, 1, kernel_size=(2, 3), stride=2, bias=False, dtype=np.float64)
    layer.params["weight"] = np.arange(6.0).reshape(2, 3, 1, 1)
    y, _ = layer.forward(np.array([[10.0, 1.0]]).reshape(1, 1, 2, 1))
    np.testing.assert_array_equal(y[0, :, :, 0], [[0, 10, 20, 1, 2], [30, 40, 53, 4, 5]])


def test_the_kernel_is_not_flipped():
    layer = Conv2d(1, 1, kernel_size=(2, 1), bias=False, dtype=np.float64)
    layer.params["weight"] = np.array([1.0, 10.0]).reshape(2, 1, 1, 1)
    y, _ = layer.forward(np.array([2.0, 3.0]).reshape(1, 2, 1, 1))
    assert y.item() == 32.0


@pytest.mark.parametrize("layer", [Conv2d, ConvTranspose2d])
def test_initial_parameters(layer):
    first, again, other = (layer(8, 6, 5, rng=seed).params for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["weight"], again["weight"])
    assert not np.array_equal(first["weight"], other["weight"])
    assert first["weight"].dtype == first["bias"].dtype == np.float32
    assert not first["bias"].any()
    assert first["weight"].std() == pytest.approx(np.sqrt(2 / (5 * 5 * 8)), rel=0.1)


def test_a_stride_makes_fewer_kernels_meet_at_a_pixel():
    weight = ConvTranspose2d(16, 16, kernel_size=4, stride=2, rng=0).params["weight"]
    assert weight.std() == pytest.approx(np.sqrt(2 / (2 * 2 * 16)), rel=0.1)


# ---------------------------------------------------------------- algorithms


@st.composite
def plain(draw, kind):
    """A convolution that every algorithm can do, or a transposed one of any stride; and a shape for it."""
    C_in, C_out, height, width = (
        draw(st.integers(*limits)) for limits in ((1, 20), (1, 20), (3, 14), (3, 14))
    )
    kernel, stride, padding = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.integers(0, 3))
    window = (3, 1, padding) if kind is Conv2d else (kernel, stride, kernel // 3)
    layer = kind(C_in, C_out, *window, rng=draw(seeds), dtype=np.float64)
    layer.params["bias"][:] = draw(distinct((C_out,)))
    return layer, (draw(st.integers(1, 3)), height, width, C_in)


every_kind = st.one_of(plain(Conv2d), plain(ConvTranspose2d), large)


@given(case=every_kind, data=st.data(), seed=seeds, fortran=st.booleans())
def test_all_algorithms_that_fit_agree(case, data, seed, fortran):
    """In float32 all but for rounding, in float64 to the last bit. The weights may lie in memory as they like."""
    layer, shape = case
    x = data.draw(distinct(shape))
    expected = everything(layer, x, seed)
    for algorithm in layer.algorithms:
        arguments = layer.in_channels, layer.out_channels
        if not fits(algorithm, layer.window):
            with pytest.raises(ValueError, match=f"algorithm '{algorithm}' cannot do this window: Window"):
                type(layer)(*arguments, algorithm=algorithm, **options(layer))
            continue
        other = type(layer)(*arguments, algorithm=algorithm, **options(layer))
        other.params = layer.params
        found = everything(other, x, seed)
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name])
        other.params = {name: array.astype(np.float32) for name, array in layer.params.items()}
        if fortran:
            other.params = {name: np.asfortranarray(array) for name, array in other.params.items()}
        found = everything(other, x.astype(np.float32), seed)
        assert found.keys() == expected.keys()
        for name in expected:
            close(found[name], expected[name], 1e-5)


@pytest.mark.skipif(CHECKED, reason="in the checked mode nothing is recorded")
@given(case=every_kind, seed=seeds, relu=st.booleans(), pooled=st.booleans())
def test_a_recording_computes_what_the_layer_does(case, seed, relu, pooled):
    """To the bit, by every algorithm, with what can be fused, on other numbers in other memory."""
    layer, shape = case
    rng = np.random.default_rng(seed)
    pool = MaxPool2d(2, ceil_mode=True) if pooled else None
    own, asked = layer.params, layer.algorithm

    def fused(x, dy):
        options = {} if type(layer) is ConvTranspose2d else {"relu": relu or pooled, "pool": pool}
        y, cache = layer.forward(x, **options)
        options = {} if type(layer) is ConvTranspose2d else {"through_relu": relu, "pool": pool}
        dx, grads = layer.backward(dy, cache, **options)
        return {"y": y, "dx": dx} | grads

    result = layer.output_shape(shape)
    if pooled and type(layer) is Conv2d:
        result = pool.output_shape(result)
    for algorithm in layer.algorithms:
        if not fits(algorithm, layer.window):
            continue
        layer.algorithm = algorithm
        layer.params = {name: array.astype(np.float32) for name, array in own.items()}
        arrays = [rng.standard_normal(s).astype(np.float32) for s in (shape, result)]
        with Recording() as recording:
            found = fused(*arrays)
        assert recording.obstacle in ("", "groups", "a matrix that is copied first")
        assert not recording.obstacle or algorithm in ("auto", "im2col")
        if not recording.obstacle:
            for array in layer.params.values():
                array += 1
            for array in arrays:
                array[...] = rng.standard_normal(array.shape)
            recording.run()
            expected = fused(*arrays)
            for name in expected:
                np.testing.assert_array_equal(found[name], expected[name])
    layer.params, layer.algorithm = own, asked


@given(case=st.one_of(plain(Conv2d), conv2d(more=12, channels=12)), data=st.data(), seed=seeds)
def test_a_rectifier_inside_is_one_beside(case, data, seed):
    """forward with `relu`, and backward with `through_relu`, for every algorithm and both types."""
    layer, shape = case
    x = np.maximum(data.draw(distinct(shape)), 0)  # as it comes out of a rectifier
    for algorithm in layer.algorithms:
        if not fits(algorithm, layer.window):
            continue
        layer.algorithm = algorithm
        for dtype in (np.float64, np.float32):
            layer.params = {name: array.astype(dtype) for name, array in layer.params.items()}
            y, cache = layer.forward(x.astype(dtype))
            rectified, cache_of_rectified = layer.forward(x.astype(dtype), relu=True)
            np.testing.assert_array_equal(rectified, ReLU().forward(y)[0])
            dy = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
            dx, grads = layer.backward(dy, cache)
            through, same_grads = layer.backward(dy, cache_of_rectified, through_relu=True)
            np.testing.assert_array_equal(through, np.where(x > 0, dx, 0))
            for name in grads:
                np.testing.assert_array_equal(same_grads[name], grads[name])
        layer.params = {name: array.astype(np.float64) for name, array in layer.params.items()}


@given(case=st.one_of(plain(Conv2d), conv2d(more=12, channels=12)), ceil_mode=st.booleans(), seed=seeds)
def test_a_rectifier_and_a_pooling_inside_are_two_beside(case, ceil_mode, seed):
    """forward and backward with `pool`, for every algorithm and both types.

    The bias is 0: otherwise two pixels that differ by rounding may be equal once it is added. Then the first of
    them gets the gradient where the layers run one by one, but the larger where they run as one. The gradients may
    take another algorithm than those of the convolution alone.
    """
    layer, shape = case
    layer.params = {name: array * (name == "weight") for name, array in layer.params.items()}
    pool, relu = MaxPool2d(2, ceil_mode=ceil_mode), ReLU()
    rng = np.random.default_rng(seed)
    images = np.maximum(rng.standard_normal(shape), 0)
    algorithms = [algorithm for algorithm in layer.algorithms if fits(algorithm, layer.window)]
    for algorithm, dtype in itertools.product(algorithms, (np.float32, np.float64)):
        layer.algorithm, x = algorithm, images.astype(dtype)
        layer.params = {name: array.astype(dtype) for name, array in layer.params.items()}
        full, cache = layer.forward(x)
        if not ceil_mode and min(full.shape[1:3]) < 2:
            with pytest.raises(ValueError, match="the window does not fit"):
                layer.forward(x, relu=True, pool=pool)
            continue
        rectified, relu_cache = relu.forward(full)
        expected, pool_cache = pool.forward(rectified)
        found, fused_cache = layer.forward(x, relu=True, pool=pool)
        np.testing.assert_array_equal(found, expected, strict=True)
        dy = rng.standard_normal(expected.shape).astype(dtype)
        dx, grads = layer.backward(relu.backward(pool.backward(dy, pool_cache)[0], relu_cache)[0], cache)
        fused_dx, fused_grads = layer.backward(dy, fused_cache, pool=pool)
        close(fused_dx, dx, 1e-5)
        through, _ = layer.backward(dy, fused_cache, needs=("input",), pool=pool, through_relu=True)
        close(through, np.where(x > 0, dx, 0), 1e-5)
        assert fused_grads.keys() == grads.keys()
        for name in grads:
            close(fused_grads[name], grads[name], 1e-5)


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (Conv2d, "auto, im2col, direct, winograd, small_map"),
        (ConvTranspose2d, "auto, im2col, subpixel"),
    ],
)
@pytest.mark.parametrize("name", ["fft", "", None, "Winograd"])
def test_an_algorithm_that_there_is_not(layer, names, name):
    with pytest.raises(ValueError, match=f"algorithm is {name!r}; expected one of {names}"):
        layer(3, 4, 3, algorithm=name)


@pytest.mark.parametrize(
    ("layer", "algorithm", "window"),
    [
        (Conv2d, "winograd", {"kernel_size": 2}),
        (Conv2d, "winograd", {"kernel_size": (3, 1)}),
        (Conv2d, "winograd", {"stride": 2}),
        (Conv2d, "winograd", {"dilation": 2}),
        (Conv2d, "winograd", {"groups": 2}),
        (Conv2d, "small_map", {"stride": (1, 2)}),
        (Conv2d, "small_map", {"dilation": (2, 1)}),
        (Conv2d, "small_map", {"groups": 2}),
        (Conv2d, "direct", {"groups": 2}),
        (ConvTranspose2d, "subpixel", {"stride": 2, "dilation": 2}),
        (ConvTranspose2d, "subpixel", {"stride": 2, "groups": 2}),
    ],
)
def test_an_algorithm_that_cannot_do_the_window(layer, algorithm, window):
    message = rf"algorithm '{algorithm}' cannot do this window: Window\(kernel_size="
    with pytest.raises(ValueError, match=message):
        layer(4, 6, **({"kernel_size": 3} | window), algorithm=algorithm)
    layer(4, 6, **({"kernel_size": 3} | window), algorithm="im2col")
    layer(4, 6, 3, algorithm=algorithm)


@pytest.mark.parametrize("layer", [Conv2d(3, 8, 3, padding=1), ConvTranspose2d(3, 8, 4, stride=2)])
@pytest.mark.parametrize("algorithm", ["auto", "im2col"])
def test_images_may_be_read_only(layer, algorithm):
    """Such as come from a file that is mapped into memory, before and after others that are not."""
    layer.algorithm, x = algorithm, np.random.default_rng(0).standard_normal((2, 6, 7, 3), np.float32)
    expected = everything(layer, x, 0)
    x.flags.writeable = False
    found = everything(layer, x, 0)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


# ---------------------------------------------------------------- PyTorch


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    torch.set_num_threads(1)
    return torch


@pytest.mark.oracle
@given(case=st.one_of(small, large), data=st.data(), seed=seeds)
def test_pytorch_computes_the_same(torch, case, data, seed):
    layer, shape = case
    x = data.draw(distinct(shape))
    found = everything(layer, x, seed)

    images = torch.tensor(x, requires_grad=True)
    weight = torch.tensor(layer.params["weight"], requires_grad=True)
    bias = torch.tensor(layer.params["bias"], requires_grad=True) if "bias" in layer.params else None
    window = layer.window
    options = {
        "stride": window.stride,
        "padding": window.padding,
        "dilation": window.dilation,
        "groups": window.groups,
    }
    function = torch.nn.functional.conv2d
    if isinstance(layer, ConvTranspose2d):
        function, options["output_padding"] = torch.nn.functional.conv_transpose2d, layer.output_padding
    channels_first, kernels = images.permute(0, 3, 1, 2), weight.permute(3, 2, 0, 1).contiguous()
    y = function(channels_first, kernels, bias, **options).permute(0, 2, 3, 1)
    y.backward(torch.tensor(np.random.default_rng(seed).standard_normal(y.shape)))

    close(found["y"], y.detach().numpy(), 1e-10)
    close(found["dx"], images.grad.numpy(), 1e-10)
    close(found["weight"], weight.grad.numpy(), 1e-10)
    if bias is not None:
        close(found["bias"], bias.grad.numpy(), 1e-10)


# ---------------------------------------------------------------- what does not fit


@pytest.mark.parametrize("layer", [Conv2d, ConvTranspose2d])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"in_channels": 0}, ValueError, r"in_channels is 0; expected at least 1"),
        ({"out_channels": -1}, ValueError, r"out_channels is -1; expected at least 1"),
        ({"in_channels": 2.0}, TypeError, r"in_channels is 2.0; expected a whole number"),
        ({"kernel_size": 0}, ValueError, r"kernel_size is 0; expected at least 1"),
        ({"kernel_size": (3, 0)}, ValueError, r"kernel_size is \(3, 0\); expected at least 1"),
        ({"kernel_size": 2.5}, TypeError, r"kernel_size is 2.5; expected a whole number or a pair"),
        (
            {"kernel_size": (1, 2, 3)},
            TypeError,
            r"kernel_size is \(1, 2, 3\); expected a whole number or a pair",
        ),
        ({"kernel_size": "3"}, TypeError, r"kernel_size is '3'; expected a whole number or a pair"),
        ({"stride": 0}, ValueError, r"stride is 0; expected at least 1"),
        ({"padding": -1}, ValueError, r"padding is -1; expected at least 0"),
        ({"dilation": (1, 0)}, ValueError, r"dilation is \(1, 0\); expected at least 1"),
        ({"groups": 0}, ValueError, r"groups is 0; expected at least 1"),
        ({"groups": 3}, ValueError, r"in_channels \(=4\) must be divisible by groups \(=3\)"),
        ({"groups": 4}, ValueError, r"out_channels \(=6\) must be divisible by groups \(=4\)"),
    ],
)
def test_options_that_make_no_sense(layer, options, error, message):
    with pytest.raises(error, match=message):
        layer(**({"in_channels": 4, "out_channels": 6, "kernel_size": 3} | options))


@pytest.mark.parametrize(
    ("options", "most"), [({"stride": 2}, 2), ({"dilation": 3}, 3), ({"stride": (3, 2), "dilation": 2}, 2)]
)
def test_too_large_an_output_padding(options, most):
    ConvTranspose2d(1, 1, 3, output_padding=most - 1, **options)
    message = rf"output_padding \(={most}\) must be less than .* \(={most}\)"
    with pytest.raises(ValueError, match=message):
        ConvTranspose2d(1, 1, 3, output_padding=(0, most), **options)


@pytest.mark.parametrize("layer", [Conv2d(3, 4, 2), ConvTranspose2d(3, 4, 2)])
@pytest.mark.parametrize("shape", [(1, 5, 5, 2), (5, 5, 3), (0, 5, 5, 3), (1, 5, 0, 3)])
def test_images_of_the_wrong_shape(layer, shape):
    message = rf"expects an input of shape \(N, H, W, 3\), got \({', '.join(map(str, shape))}\)"
    with pytest.raises(ValueError, match=message):
        layer.forward(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match=message):
        layer.output_shape(shape)


@pytest.mark.parametrize("layer", [Conv2d(3, 4, 2), ConvTranspose2d(3, 4, 2)])
def test_images_of_the_wrong_type(layer):
    with pytest.raises(TypeError, match="works in float32 here, got an input of float64"):
        layer.forward(np.zeros((1, 5, 5, 3)))
    with pytest.raises(TypeError, match="expects a float32 or float64 array, got uint8"):
        layer.forward(np.zeros((1, 5, 5, 3), np.uint8))
    with pytest.raises(TypeError, match="expects a float32 or float64 array, got list"):
        layer.forward([[0.0]])


def test_a_kernel_that_does_not_fit():
    conv = Conv2d(1, 1, kernel_size=3, padding=1, dilation=(2, 1))
    assert conv.output_shape((1, 3, 1, 1)) == (1, 1, 1, 1)
    with pytest.raises(ValueError, match=r"the kernel does not fit into an image of 2x7"):
        conv.forward(np.zeros((1, 2, 7, 1), np.float32))


def test_padding_that_eats_the_whole_output():
    layer = ConvTranspose2d(1, 1, kernel_size=2, padding=1)
    assert layer.output_shape((1, 2, 2, 1)) == (1, 1, 1, 1)
    with pytest.raises(ValueError, match=r"the padding leaves nothing of an image of 2x1"):
        layer.forward(np.zeros((1, 2, 1, 1), np.float32))


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Conv2d(3, 16, 3), "Conv2d(3, 16, kernel_size=3)"),
        (
            Conv2d(4, 6, (3, 1), stride=2, padding=(0, 1), dilation=2, groups=2, bias=False),
            "Conv2d(4, 6, kernel_size=(3, 1), stride=2, padding=(0, 1), dilation=2, groups=2, bias=False)",
        ),
        (
            ConvTranspose2d(2, 2, 4, stride=2, output_padding=(1, 0)),
            "ConvTranspose2d(2, 2, kernel_size=4, stride=2, output_padding=(1, 0))",
        ),
        (Conv2d(3, 8, 3, algorithm="auto"), "Conv2d(3, 8, kernel_size=3)"),
        (
            Conv2d(3, 8, 3, bias=False, algorithm="winograd"),
            "Conv2d(3, 8, kernel_size=3, bias=False, algorithm='winograd')",
        ),
        (
            ConvTranspose2d(3, 8, 4, stride=2, algorithm="subpixel"),
            "ConvTranspose2d(3, 8, kernel_size=4, stride=2, algorithm='subpixel')",
        ),
    ],
)
def test_repr_is_the_call_that_makes_it(layer, text):
    assert repr(layer) == text
    assert repr(eval(text)) == text
