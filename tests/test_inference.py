"""Windows, shifts and tiles: where they equal one pass, and where they must not."""

from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import inference, models, surgery
from minifcn.geometry import view
from minifcn.layers import AvgPool2d, BatchNorm2d, Conv2d, Crop, Flatten, Linear, MaxPool2d, ReLU
from minifcn.network import Network

seeds = st.integers(0, 2**32 - 1)


def close(a, b, tolerance=1e-10):
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max())


@st.composite
def classifiers(draw, padding=0, ceil_mode=False, pools=(0, 2)):
    """A classifier with a random trunk of strided convolutions and pools, and the size of its window."""
    rng = np.random.default_rng(draw(seeds))
    layers, channels, stride = [], draw(st.integers(1, 3)), 1
    C = channels
    for k in range(draw(st.integers(1, 3))):
        width, s = draw(st.integers(1, 4)), draw(st.sampled_from([1, 1, 2]))
        pad = draw(st.integers(0, padding))
        layers.append((f"conv{k}", Conv2d(channels, width, draw(st.integers(1, 3)), s, pad, rng=rng)))
        layers.append((f"relu{k}", ReLU()))
        channels, stride = width, stride * s
    for k in range(draw(st.integers(*pools))):
        pool = draw(st.sampled_from([MaxPool2d, AvgPool2d]))
        size, s = draw(st.integers(2, 3)), draw(st.sampled_from([1, 2, 2]))
        layers.insert(draw(st.integers(0, len(layers))), (f"pool{k}", pool(size, s, ceil_mode=ceil_mode)))
        stride *= s
    fc = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    # The smallest window that leaves fc's size, or a little more, at the end of the trunk.
    window = [next(n for n in range(1, 200) if _size(layers, n, axis) >= fc[axis]) for axis in (0, 1)]
    fc = [_size(layers, n, axis) for axis, n in enumerate(window)]
    net = Network((1, *window, C))
    for name, layer in layers:
        net.add(name, layer)
    net.add("flatten", Flatten())
    net.add("fc", Linear(fc[0] * fc[1] * channels, 3, rng=rng))
    return net.astype(np.float64), tuple(window)


def _size(layers, n, axis):
    """How long an axis of n pixels is behind the layers; 0 if it vanishes on the way."""
    shape = (1, n, n, next(layer.in_channels for _, layer in layers if isinstance(layer, Conv2d)))
    try:
        for _, layer in layers:
            shape = layer.output_shape(shape)
    except ValueError:
        return 0
    return shape[1 + axis]


def image_for(net, window, extra, seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((window[0] + extra[0], window[1] + extra[1], net.image_shape[3]))


extras = st.tuples(st.integers(0, 17), st.integers(0, 17))


# ---------------------------------------------------------------- sliding windows


@given(classifiers(), extras, seeds)
def test_sliding_windows_equal_one_pass(drawn, extra, seed):
    """For unpadded trunks with pooling that rounds down, at the network's stride, for every image size."""
    net, window = drawn
    image = image_for(net, window, extra, seed)
    fcn = surgery.convolutionize(net, (*window, image.shape[2]))
    strides = tuple(int(view(fcn, fcn.output, axis=axis).stride) for axis in (0, 1))
    close(fcn(image[None])[0], inference.sliding_window(net, image, window, strides))


@given(classifiers(), extras, seeds)
def test_in_single_precision_too(drawn, extra, seed):
    net, window = drawn
    net = net.astype(np.float32)
    image = image_for(net, window, extra, seed).astype(np.float32)
    fcn = surgery.convolutionize(net, (*window, image.shape[2]))
    stride = int(view(fcn, fcn.output).stride)
    close(fcn(image[None])[0], inference.sliding_window(net, image, window, stride), 1e-4)


def padded_net(padding, rng=0):
    net = Network((1, 16, 16, 2))
    net.add("conv1", Conv2d(2, 6, 3, padding=padding, rng=rng))
    net.add("relu1", ReLU())
    net.add("pool1", MaxPool2d(2))
    net.add("conv2", Conv2d(6, 6, 3, padding=padding, rng=rng))
    net.add("relu2", ReLU())
    size = net.shapes(net.image_shape)[net.output][1]
    net.add("flatten", Flatten())
    net.add("fc", Linear(size * size * 6, 3, rng=rng))
    return net.astype(np.float64)


def test_padding_breaks_the_equality():
    """A window sees zeros at its border where the large image has pixels: off by as much as the scores."""
    image = np.random.default_rng(0).standard_normal((32, 32, 2))
    for padding, equal in ((0, True), (1, False)):
        net = padded_net(padding)
        fcn = surgery.convolutionize(net, (16, 16, 2))
        windows = inference.sliding_window(net, image, 16, 2)
        difference = np.abs(windows - fcn(image[None])[0][: len(windows), : len(windows)]).max()
        assert (difference < 1e-12) == equal
        assert equal or difference > 0.1 * np.abs(windows).std()


def test_another_stride_is_another_map():
    net = padded_net(0)
    image = np.random.default_rng(0).standard_normal((31, 31, 2))
    one_pass = surgery.convolutionize(net, (16, 16, 2))(image[None])[0]
    assert inference.sliding_window(net, image, 16, 3).shape != one_pass.shape
    assert inference.sliding_window(net, image, 16, 1).shape != one_pass.shape


def test_pooling_that_rounds_up_breaks_it_when_windows_are_not_aligned():
    """A window of 15 pixels: the last pooling window of each crop is cut off, in the large image it is whole."""
    net = Network((1, 15, 15, 1))
    net.add("pool", MaxPool2d(2, ceil_mode=True))
    net.add("flatten", Flatten())
    net.add("fc", Linear(64, 3, rng=0))
    net.astype(np.float64)
    fcn = surgery.convolutionize(net, (15, 15, 1))
    image = np.random.default_rng(0).standard_normal((31, 31, 1))
    windows = inference.sliding_window(net, image, 15, 2)
    one_pass = fcn(image[None])[0]
    assert np.abs(windows - one_pass).max() > 0.1
    close(windows[-1, -1], one_pass[-1, -1])  # the last window is cut off in both


def test_patches_equal_pixels():
    """A 15x15 patch around every pixel, and one dense pass: the same scores (section 3.4 of the FCN paper)."""
    rng = np.random.default_rng(0)
    net = Network((1, 15, 15, 3))
    net.add("conv1", Conv2d(3, 4, 7, rng=rng))
    net.add("relu1", ReLU())
    net.add("flatten", Flatten())
    net.add("fc", Linear(9 * 9 * 4, 5, rng=rng))
    net.astype(np.float64)
    image = np.pad(rng.standard_normal((20, 23, 3)), ((7, 7), (7, 7), (0, 0)), mode="reflect")
    dense = surgery.convolutionize(net, (15, 15, 3))
    assert dense(image[None]).shape == (1, 20, 23, 5)
    close(dense(image[None])[0], inference.sliding_window(net, image, 15, 1))


@given(classifiers(), extras, seeds, st.booleans())
def test_the_gradients_of_all_patches_sum_to_that_of_the_image(drawn, extra, seed, sample):
    """Patchwise training is whole-image training; and sampling patches is masking the loss."""
    net, window = drawn
    image = image_for(net, window, extra, seed)
    fcn = surgery.convolutionize(net, (*window, image.shape[2]))
    down, right = (int(view(fcn, fcn.output, axis=axis).stride) for axis in (0, 1))
    maps, tape = fcn.forward(image[None])
    rng = np.random.default_rng(seed)
    dmaps = rng.standard_normal(maps.shape)
    if sample:
        dmaps *= rng.random(maps.shape[:3])[..., None] < 0.5
    whole = fcn.backward(dmaps, tape)
    total = {name: np.zeros_like(array) for name, array in net.params.items()}
    for i, j in np.ndindex(*maps.shape[1:3]):
        if dmaps[0, i, j].any():
            patch = image[i * down : i * down + window[0], j * right : j * right + window[1]]
            _, patch_tape = net.forward(np.ascontiguousarray(patch)[None])
            for name, grad in net.backward(dmaps[:, i, j], patch_tape).items():
                total[name] += grad
    for name, grad in total.items():
        close(whole[name].reshape(grad.shape), grad, 1e-9)


@pytest.mark.parametrize(
    ("window", "stride", "message"),
    [
        (33, 1, r"a window of 33x33 does not fit into an image of 32x40"),
        ((8, 41), 1, "8x41 does not fit"),
        (8, 0, "stride is 0; expected at least 1"),
        (0, 1, "window is 0; expected at least 1"),
    ],
)
def test_windows_that_make_no_sense(window, stride, message):
    with pytest.raises(ValueError, match=message):
        inference.sliding_window(lambda x: x, np.zeros((32, 40, 3)), window, stride)


# ---------------------------------------------------------------- shift and stitch, and the dilated network


@given(classifiers(), extras, seeds, st.data())
def test_shifted_passes_equal_windows_and_the_dense_network(drawn, extra, seed, data):
    net, window = drawn
    image = image_for(net, window, extra, seed)
    fcn = surgery.convolutionize(net, (*window, image.shape[2]))
    total = int(view(fcn, fcn.output).stride)
    stride = data.draw(st.sampled_from([s for s in range(1, total + 1) if total % s == 0]))
    extra_needed = total - stride  # the shifted images must still hold a window
    image = np.pad(
        image,
        ((0, extra_needed), (0, extra_needed), (0, 0)),
        mode="reflect" if min(image.shape[:2]) > extra_needed else "edge",
    )
    stitched = inference.shift_and_stitch(fcn, image, stride)
    close(stitched, inference.sliding_window(net, image, window, stride))
    dense = surgery.densify(fcn, stride)
    assert view(dense, dense.output).stride == stride
    assert view(dense, dense.output).field == view(fcn, fcn.output).field, "the field of view stays"
    close(dense(image[None])[0], stitched)
    assert all(np.shares_memory(array, fcn.params[name]) for name, array in dense.params.items())


def test_different_strides_along_the_axes():
    net = Network((1, 20, 21, 1))
    net.add("conv", Conv2d(1, 1, (2, 3), stride=(2, 4), rng=0))
    net.astype(np.float64)
    image = np.random.default_rng(0).standard_normal((20, 21, 1))
    close(
        inference.shift_and_stitch(net, image, 1),
        inference.sliding_window(lambda x: net(x)[:, 0, 0], image, (2, 3), 1),
    )
    with pytest.raises(ValueError, match="two strides"):
        surgery.densify(net, 1)


def test_images_that_just_hold_a_window():
    """Moved by two pixels, an image of 33 has no room for a window of 32: that pass has nothing to add."""
    net = models.window_net(3, width=2, rng=0).astype(np.float64)
    fcn = surgery.convolutionize(net, (32, 32, 3))
    for size in ((32, 32), (33, 35), (36, 32)):
        image = np.random.default_rng(0).standard_normal((*size, 3))
        for stride in (1, 2):
            close(
                inference.shift_and_stitch(fcn, image, stride),
                inference.sliding_window(net, image, 32, stride),
            )
    with pytest.raises(ValueError, match="does not fit"):
        inference.shift_and_stitch(fcn, np.zeros((31, 40, 3)), 2)


def test_crops_are_dilated_too():
    net = Network((1, 20, 20, 1))
    net.add("pool", MaxPool2d(2))
    net.add("conv", Conv2d(1, 1, 3, rng=0))
    net.add("crop", Crop((0, 1)), "pool", "conv")
    net.astype(np.float64)
    image = np.random.default_rng(0).standard_normal((1, 20, 20, 1))
    dense = surgery.densify(net, 1)(image)
    close(dense[:, ::2, ::2][:, :8, :8], net(image)[:, :8, :8])


def test_strides_that_cannot_be_lowered_so():
    net = Network((1, 40, 40, 1))
    net.add("conv1", Conv2d(1, 1, 3, stride=2, rng=0))
    net.add("conv2", Conv2d(1, 1, 3, stride=3, rng=0))
    with pytest.raises(ValueError, match="stride is 3; the layers' strides can only be lowered to 2"):
        surgery.densify(net, 3)


def test_strides_that_do_not_divide():
    fcn = surgery.convolutionize(models.window_net(3, width=2, rng=0), (32, 32, 3))
    for call in (surgery.densify, lambda net, s: inference.shift_and_stitch(net, np.zeros((64, 64, 3)), s)):
        for stride in (3, 8, 0):
            with pytest.raises(ValueError, match=f"stride is {stride}; expected a divisor of .* 4"):
                call(fcn, stride)


def test_fully_connected_layers_cannot_be_dilated():
    for call in (surgery.densify, lambda net, s: inference.shift_and_stitch(net, np.zeros((64, 64, 3)), s)):
        with pytest.raises(ValueError, match="convolutionize"):
            call(models.window_net(3, width=2, rng=0), 1)


# ---------------------------------------------------------------- tiles


WIDTHS = {"widths": (2, 3, 3, 4, 4), "convs": 1, "fc": 4, "fc_kernel": 1}


def small_fcn(model, seed):
    rng = np.random.default_rng(seed)
    net = models.build(model, 3, rng=rng, **WIDTHS)
    for name, array in net.params.items():
        if name.startswith("score"):
            array[...] = rng.standard_normal(array.shape)
    return net


@given(
    model=st.sampled_from(["fcn32s", "fcn16s", "fcn8s"]),
    size=st.tuples(st.integers(1, 420), st.integers(1, 420)),
    spare=st.integers(0, 150),
    seed=seeds,
)
def test_tiles_equal_one_pass_to_the_bit(model, size, spare, seed):
    """Layers of few channels are computed directly, and so every sum in one order, wherever a tile begins."""
    net = small_fcn(model, seed % 5)
    tile = least_tile(net) + spare
    image = np.random.default_rng(seed).standard_normal((*size, 3)).astype(np.float32)
    one_pass = net(image[None])[0]
    assert np.array_equal(inference.tiled(net, image, tile), one_pass)


def test_tiles_of_winograd_equal_one_pass_to_rounding():
    """Winograd's own tiles of 4x4 pixels lie elsewhere in a tile than in the whole image."""
    net = models.fcn8s(3, widths=(16, 16, 24, 32, 32), fc=32, rng=0)
    for name, array in net.params.items():
        if name.startswith("score"):
            array[...] = np.random.default_rng(1).standard_normal(array.shape)
    image = np.random.default_rng(2).standard_normal((333, 290, 3)).astype(np.float32)
    one_pass = net(image[None])[0]
    found = inference.tiled(net, image, least_tile(net) + 21)
    assert np.abs(found - one_pass).max() <= 1e-5 * np.abs(one_pass).max()


def least_tile(net):
    with pytest.raises(ValueError, match="too small") as caught:
        inference.tiles(net, (5000, 64, 3), 1)
    return int(str(caught.value).split("needs ")[1].split()[0])


@given(classifiers(padding=1, ceil_mode=True), extras, st.integers(0, 9), seeds)
def test_tiles_of_networks_with_a_stride_and_padding(drawn, extra, spare, seed):
    net, window = drawn
    image = image_for(net, window, (3 * extra[0], 3 * extra[1]), seed)
    fcn = surgery.convolutionize(net, (*window, image.shape[2]))
    try:
        one_pass = fcn(image[None])[0]
    except ValueError:
        return  # rounding up can leave less of a larger image than fc needs
    tile = max(window) + 40 + spare
    close(inference.tiled(fcn, image, tile), one_pass)


def test_tiles_bound_the_memory_and_cover_everything_once():
    net = small_fcn("fcn8s", 0)
    found = inference.tiles(net, (10_000, 64, 3), 600)
    assert all(tile.read.stop - tile.read.start <= 600 for tile in found)
    assert all(tile.read.start % 32 == 0 for tile in found)
    assert [tile.place.start for tile in found[1:]] == [tile.place.stop for tile in found[:-1]]
    assert (found[0].place.start, found[-1].place.stop) == (0, 10_000)
    assert all(tile.keep.stop - tile.keep.start == tile.place.stop - tile.place.start for tile in found)


def test_memmaps_and_going_on_after_a_stop(tmp_path):
    net = small_fcn("fcn8s", 0)
    size, tile = (300, 420), least_tile(net) + 64
    image = np.memmap(tmp_path / "image", np.float32, "w+", shape=(*size, 3))
    image[...] = np.random.default_rng(0).standard_normal(image.shape)
    out = np.memmap(tmp_path / "out", np.uint8, "w+", shape=size)
    runs = []

    def labels(x):
        runs.append(x.shape)
        if len(runs) == 3:
            raise KeyboardInterrupt
        return net(x).argmax(-1).astype(np.uint8)

    with pytest.raises(KeyboardInterrupt):
        inference.tiled(net, image, tile, out=out, function=labels, journal=tmp_path / "journal")
    total = len(inference.tiles(net, image.shape, tile, 0)) * len(inference.tiles(net, image.shape, tile, 1))
    assert total > 4
    with pytest.raises(ValueError, match="is of another job"):
        inference.tiled(net, image, tile + 1, out=out, function=labels, journal=tmp_path / "journal")
    (tmp_path / "journal").write_text((tmp_path / "journal").read_text()[:-2])  # the last line is cut off
    runs[:] = [None] * 1  # so that the second tile from here on stops again
    with pytest.raises(KeyboardInterrupt):
        inference.tiled(net, image, tile, out=out, function=labels, journal=tmp_path / "journal")
    assert (tmp_path / "journal").read_text().split("\n")[1:] == ["0 0", "0 1", ""]
    inference.tiled(net, image, tile, out=out, function=labels, journal=tmp_path / "journal")
    assert len(runs) == 3 + total - 2, "the two tiles that were done are not done again"
    assert np.array_equal(out, net(image[None])[0].argmax(-1))
    assert not (tmp_path / "journal").exists()


def test_images_of_one_channel_and_outputs_that_see_only_padding():
    net = Network()
    net.add("conv", Conv2d(1, 2, 3, padding=1, rng=0))
    image = np.random.default_rng(0).standard_normal((20, 33, 1)).astype(np.float32)
    assert np.array_equal(inference.tiled(net, image, 10), net(image[None])[0])
    net = Network()
    net.add("conv", Conv2d(1, 1, 1, stride=4, padding=4, rng=0))
    assert np.array_equal(inference.tiled(net, image[:6], 5), net(image[None, :6])[0])


def test_a_tile_that_is_too_small_says_what_would_do():
    net = small_fcn("fcn8s", 0)
    least = least_tile(net)
    with pytest.raises(
        ValueError, match=rf"a tile of {least - 40} pixels is too small: the network needs {least}"
    ):
        inference.tiled(net, np.zeros((900, 900, 3), np.float32), least - 40)


def test_what_sees_the_whole_image_cannot_be_cut_into_tiles():
    net = Network()
    net.add("conv", Conv2d(3, 2, 3), "image")
    net.add("bn", BatchNorm2d(2, batch_statistics=True))
    with pytest.raises(ValueError, match="depends on the whole image: it cannot be cut into tiles"):
        inference.tiles(net, (64, 64, 3), 32)


# ---------------------------------------------------------------- tiles of the mirrored image


@st.composite
def valid_networks(draw):
    """U-Nets, and stacks of convolutions and poolings, that lose pixels at every border."""
    rng, C = np.random.default_rng(draw(seeds)), draw(st.integers(1, 3))
    if draw(st.booleans()):
        widths = draw(st.lists(st.integers(1, 3), min_size=2, max_size=3))
        return models.unet(2, padding="valid", widths=widths, in_channels=C, rng=rng)
    net, channels = Network((1, 40, 40, C)), C
    for k in range(draw(st.integers(1, 4))):
        size = draw(st.tuples(*[st.sampled_from([1, 3, 5])] * 2))
        dilation = draw(st.tuples(*[st.integers(1, 3)] * 2))
        net.add(f"conv{k}", Conv2d(channels, 2, size, dilation=dilation, rng=rng))
        net.add(f"relu{k}", ReLU())
        net.add(f"pool{k}", MaxPool2d(draw(st.sampled_from([1, 3])), stride=1))
        channels = 2
    return net


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
@given(
    net=valid_networks(),
    size=st.tuples(*[st.integers(1, 60)] * 2),
    spare=st.integers(0, 40),
    seed=seeds,
)
def test_overlapping_tiles_equal_one_pass_over_the_mirrored_image(dtype, tolerance, net, size, spare, seed):
    """As many pixels as the image has, whatever its size, and those of np.pad, which mirrors as well."""
    net.astype(dtype)
    image = np.random.default_rng(seed).standard_normal((*size, net.image_shape[3])).astype(dtype)
    whole = inference.mirrored(net, image[None])
    expected = net(whole)[0, : size[0], : size[1]]
    assert expected.shape[:2] == size
    before = [int(view(net, net.output, axis=axis).offset) for axis in (0, 1)]
    after = [whole.shape[1 + axis] - size[axis] - before[axis] for axis in (0, 1)]
    if min(size) > 1 and all(max(pair) < n for pair, n in zip(zip(before, after), size)):
        padded = np.pad(image, (*zip(before, after), (0, 0)), mode="reflect")
        assert np.array_equal(whole[0], padded)
    # What one output sees, and up to the largest of the networks' strides before it.
    tile = max(ceil(view(net, net.output, axis=axis).field) for axis in (0, 1)) + 4 + spare
    close(inference.tiled(net, image, tile, mirror=True), expected, tolerance)
    assert all(t.read.stop - t.read.start <= tile for t in inference.tiles(net, image.shape, tile, 0, True))


def test_the_centre_of_an_output_is_its_pixel():
    """A network that copies the middle of its window copies the image."""
    net = Network((1, 9, 9, 2))
    net.add("conv", Conv2d(2, 2, (5, 3), dilation=(2, 1), bias=False))
    net.params["conv.weight"][...] = 0
    net.params["conv.weight"][2, 1] = np.eye(2)
    image = np.random.default_rng(0).standard_normal((7, 8, 2)).astype(np.float32)
    assert np.array_equal(net(inference.mirrored(net, image[None]))[0], image)
    assert np.array_equal(inference.tiled(net, image, 12, mirror=True), image)


def test_a_network_as_large_as_its_image_has_no_mirrored_border():
    net = small_fcn("fcn8s", 0)
    images = np.random.default_rng(0).standard_normal((2, 45, 70, 3)).astype(np.float32)
    assert inference.mirrored(net, images) is images
    tile = least_tile(net)
    assert inference.tiles(net, (900, 70, 3), tile) == inference.tiles(net, (900, 70, 3), tile, mirror=True)


def test_borders_that_cannot_be_mirrored():
    net = Network((1, 9, 9, 1))
    net.add("conv", Conv2d(1, 1, 3, stride=2))
    with pytest.raises(ValueError, match=r"has a stride of 2 .* centred on pixel 1; mirrored borders need"):
        inference.mirrored(net, np.ones((1, 9, 9, 1), np.float32))
    net = Network((1, 9, 9, 1))
    net.add("conv", Conv2d(1, 1, 2))
    with pytest.raises(ValueError, match=r"a stride of 1 .* centred on pixel 1/2; mirrored borders need"):
        inference.tiled(net, np.ones((9, 9, 1), np.float32), 5, mirror=True)
