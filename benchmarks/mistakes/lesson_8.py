"""Lesson 8, as learners write it: crops, offsets and the loop in reverse with one mistake in each."""

import numpy as np

from benchmarks.mistakes import Planted, Right

# ---------------------------------------------------------------- crop


def crop_middle(x, height, width, offset):
    extra = x.shape[1] - height, x.shape[2] - width
    rows = slice(extra[0] // 2, extra[0] // 2 + height)
    return x[:, rows, extra[1] // 2 : extra[1] // 2 + width, :]


def crop_first(x, height, width, offset):
    y = np.zeros((x.shape[0], height, width, x.shape[3]))
    for i in range(height):
        for j in range(width):
            y[:, i, j] = x[:, i, j]
    return y


def crop_short(x, height, width, offset):
    top, left = offset
    return x[:, top:height, left:width]


def crop_both_sides(x, height, width, offset):
    H, W = x.shape[1:3]
    return x[:, offset[0] : H - offset[0], offset[1] : W - offset[1]]


def crop_far_end(x, height, width, offset):
    return x[:, -height:, -width:]


def crop_swapped(x, height, width, offset):
    left, top = offset
    return x[:, top : top + height][:, :, left : left + width]


def crop_late(x, height, width, offset):
    """Off by one: the pixel after the right one, the last one twice if there is none."""
    rows = [min(offset[0] + 1 + i, x.shape[1] - 1) for i in range(height)]
    columns = [min(offset[1] + 1 + j, x.shape[2] - 1) for j in range(width)]
    return x[:, rows][:, :, columns]


def crop_rest(x, height, width, offset):
    return np.delete(np.delete(x, range(offset[0]), axis=1), range(offset[1]), axis=2)


def crop_takes(x, height, width, offset):
    """Right: by indices."""
    rows = np.take(x, np.arange(height) + offset[0], axis=1)
    return np.take(rows, np.arange(width) + offset[1], axis=2)


def crop_view(x, height, width, offset):
    return x[:, offset[0] :, offset[1] :][:, :height, :width]


# ---------------------------------------------------------------- crop_backward


def uncrop_middle(dy, input_shape, offset):
    dx = np.zeros(input_shape)
    top, left = (input_shape[1] - dy.shape[1]) // 2, (input_shape[2] - dy.shape[2]) // 2
    dx[:, top : top + dy.shape[1], left : left + dy.shape[2]] = dy
    return dx


def uncrop_first(dy, input_shape, offset):
    dx = np.zeros(input_shape)
    dx[:, : dy.shape[1], : dy.shape[2]] = dy
    return dx


def uncrop_far_end(dy, input_shape, offset):
    dx = np.zeros(input_shape)
    dx[:, -dy.shape[1] :, -dy.shape[2] :] = dy
    return dx


def uncrop_swapped(dy, input_shape, offset):
    dx = np.zeros(input_shape)
    dx[:, offset[1] :, offset[0] :][:, : dy.shape[1], : dy.shape[2]] = dy
    return dx


def uncrop_edges(dy, input_shape, offset):
    rows = np.clip(np.arange(input_shape[1]) - offset[0], 0, dy.shape[1] - 1)
    columns = np.clip(np.arange(input_shape[2]) - offset[1], 0, dy.shape[2] - 1)
    return dy[:, rows][:, :, columns]


def uncrop_not(dy, input_shape, offset):
    return dy


def uncrop_symmetric(dy, input_shape, offset):
    return np.pad(dy, [(0, 0), (offset[0], offset[0]), (offset[1], offset[1]), (0, 0)])


def uncrop_negative(dy, input_shape, offset):
    return -uncrop_pad(dy, input_shape, offset)


def uncrop_pad(dy, input_shape, offset):
    """Right: np.pad."""
    after = [n - m - o for n, m, o in zip(input_shape[1:3], dy.shape[1:3], offset)]
    return np.pad(dy, [(0, 0), (offset[0], after[0]), (offset[1], after[1]), (0, 0)])


def uncrop_loops(dy, input_shape, offset):
    dx = np.zeros(input_shape, np.float32)
    for n, i, j, c in np.ndindex(dy.shape):
        dx[n, i + offset[0], j + offset[1], c] = dy[n, i, j, c]
    return dx


# ---------------------------------------------------------------- crop_offset


def walk(path, *, half=0.5, pads=1, scale=True, order="right", up="right", whole=False):
    """Where pixel 0 lies, and how far pixels are apart, layer by layer."""
    start, step = 0.0, 1.0
    for kind, k, s, p in path:
        middle = (k - 1) // 2 if whole else k / 2 - half
        shift = middle - pads * p
        if kind != "up" or up == "down":
            if order == "late":
                step *= s
                start += step * shift
            else:
                start += (step if scale else 1) * shift
                step *= s
        else:
            step /= s
            start -= (step if scale else 1) * shift * (-1 if up == "sign" else 1)
    return start, step


def offset(layers, reference, **options):
    (start, step), (other, _) = walk(layers, **options), walk(reference, **options)
    return (other - start) / step


def offset_no_kernel(layers, reference):
    def ignoring(path):
        return [(kind, 1, s, p) for kind, _, s, p in path]

    return offset(ignoring(layers), ignoring(reference))


def offset_no_padding(layers, reference):
    return offset(layers, reference, pads=0)


def offset_padding_sign(layers, reference):
    return offset(layers, reference, pads=-1)


def offset_half_kernel(layers, reference):
    return offset(layers, reference, half=0)


def offset_whole(layers, reference):
    return offset(layers, reference, whole=True)


def offset_unscaled(layers, reference):
    return walk(reference, scale=False)[0] - walk(layers, scale=False)[0]


def offset_late(layers, reference):
    return offset(layers, reference, order="late")


def offset_up_is_down(layers, reference):
    return offset(layers, reference, up="down")


def offset_up_sign(layers, reference):
    return offset(layers, reference, up="sign")


def offset_in_the_image(layers, reference):
    return walk(reference)[0] - walk(layers)[0]


def offset_no_reference(layers, reference):
    start, step = walk(layers)
    return -start / step


def offset_negative(layers, reference):
    return -offset(layers, reference)


def offset_numpy(layers, reference):
    """Right: maps as matrices, multiplied."""

    def matrix(path):
        whole = np.eye(2)
        for kind, k, s, p in path:
            one = np.array([[s, (k - 1) / 2 - p], [0, 1]])
            whole = whole @ (np.linalg.inv(one) if kind == "up" else one)
        return whole

    return (np.linalg.inv(matrix(layers)) @ matrix(reference))[0, 1]


def offset_integers(layers, reference):
    """Right: in halves of a pixel of the finest map."""
    start, step = walk(layers)
    other, _ = walk(reference)
    return round((other - start) / step)


# ---------------------------------------------------------------- network_backward


def loop(nodes, dscores, caches, *, second="add", skip_relu=False, divide_sum=False):
    names = list(nodes)
    wanted = dict.fromkeys(["image", *names])
    wanted[names[-1]] = dscores
    out = {}
    for name in names[::-1]:
        layer, inputs = nodes[name]
        dx, grads = layer.backward(wanted[name], caches[name])
        for key in grads:
            out[name + "." + key] = grads[key]
        if skip_relu and type(layer).__name__ == "ReLU":
            dx = wanted[name]
        if not isinstance(dx, tuple):
            dx = (dx,)
        if divide_sum and type(layer).__name__ == "Add":
            dx = tuple(one / len(inputs) for one in dx)
        for source, gradient in zip(inputs, dx):
            if gradient is None:
                continue
            if wanted[source] is None or second == "overwrite":
                wanted[source] = gradient
            elif second == "add":
                wanted[source] = wanted[source] + gradient
            elif second == "in place":
                wanted[source] += gradient
            elif second == "mean":
                wanted[source] = 0.5 * (wanted[source] + gradient)
    return out


def loop_overwrites(nodes, dscores, caches):
    return loop(nodes, dscores, caches, second="overwrite")


def loop_keeps_the_first(nodes, dscores, caches):
    return loop(nodes, dscores, caches, second="keep")


def loop_in_place(nodes, dscores, caches):
    return loop(nodes, dscores, caches, second="in place")


def loop_mean(nodes, dscores, caches):
    return loop(nodes, dscores, caches, second="mean")


def loop_without_rectifier(nodes, dscores, caches):
    return loop(nodes, dscores, caches, skip_relu=True)


def loop_divides_the_sum(nodes, dscores, caches):
    return loop(nodes, dscores, caches, divide_sum=True)


def loop_negative(nodes, dscores, caches):
    return {name: -gradient for name, gradient in loop(nodes, dscores, caches).items()}


def recursive(nodes, dscores, caches):
    """Right: every activation asks its readers."""
    last, handed, out = list(nodes)[-1], {}, {}

    def upstream(name):
        total = dscores if name == last else 0
        for reader, (_, reads) in nodes.items():
            for which, source in enumerate(reads):
                if source == name and handed_back(reader)[which] is not None:
                    total = total + handed_back(reader)[which]
        return total

    def handed_back(name):
        if name not in handed:
            dx, grads = nodes[name].layer.backward(upstream(name), caches[name])
            handed[name] = dx if isinstance(dx, tuple) else (dx,)
            out.update({f"{name}.{key}": gradient for key, gradient in grads.items()})
        return handed[name]

    for name in nodes:
        handed_back(name)
    return out


def collected(nodes, dscores, caches):
    """Right: lists of gradients, summed when they are needed; single precision at the end."""
    lists = {name: [] for name in ("image", *nodes)}
    lists[list(nodes)[-1]].append(dscores)
    out = {}
    for name, (layer, reads) in reversed(list(nodes.items())):
        dx, grads = layer.backward(np.sum(lists[name], axis=0), caches[name])
        for source, one in zip(reads, dx if type(dx) is tuple else [dx]):
            lists[source] += [one] if one is not None else []
        out |= {f"{name}.{key}": gradient.astype(np.float32) for key, gradient in grads.items()}
    return out


PLANTED = [
    Planted("crop", "centred", crop_middle, "middle"),
    Planted("crop", "offset ignored", crop_first, "offset is ignored"),
    Planted("crop", "slice ends at height", crop_short, "too early"),
    Planted("crop", "offset cut on both sides", crop_both_sides, "both sides"),
    Planted("crop", "from the far end", crop_far_end, "far end"),
    Planted("crop", "offset's rows and columns swapped", crop_swapped, "swapped"),
    Planted("crop", "off by one", crop_late, "one pixel"),
    Planted("crop", "to the end", crop_rest, "goes on"),
    Planted("crop_backward", "centred", uncrop_middle, "middle"),
    Planted("crop_backward", "offset ignored", uncrop_first, "offset is ignored"),
    Planted("crop_backward", "at the far end", uncrop_far_end, "far end"),
    Planted("crop_backward", "offset's rows and columns swapped", uncrop_swapped, "swapped"),
    Planted("crop_backward", "borders repeated", uncrop_edges, "cut off gets a gradient"),
    Planted("crop_backward", "shape of dy", uncrop_not, "shape of dy"),
    Planted("crop_backward", "same border on both sides", uncrop_symmetric, "both sides"),
    Planted("crop_backward", "sign", uncrop_negative, "sign"),
    Planted("crop_offset", "kernels ignored", offset_no_kernel, "kernels are ignored"),
    Planted("crop_offset", "padding ignored", offset_no_padding, "padding is ignored"),
    Planted("crop_offset", "sign of the padding", offset_padding_sign, "wrong sign"),
    Planted("crop_offset", "k / 2 for (k - 1) / 2", offset_half_kernel, "(k - 1) / 2"),
    Planted("crop_offset", "halves dropped", offset_whole, "Halves"),
    Planted("crop_offset", "shifts not scaled", offset_unscaled, "apart"),
    Planted("crop_offset", "stride too early", offset_late, "too early"),
    Planted(
        "crop_offset", "upsampling taken for a convolution", offset_up_is_down, "taken for a convolution"
    ),
    Planted("crop_offset", "sign of the upsampling's shift", offset_up_sign, "upsampling has the wrong sign"),
    Planted("crop_offset", "in pixels of the image", offset_in_the_image, "pixels of the image"),
    Planted("crop_offset", "reference ignored", offset_no_reference, "reference is ignored"),
    Planted("crop_offset", "the other way round", offset_negative, "exchanged"),
    Planted("network_backward", "second gradient overwrites the first", loop_overwrites, "put over"),
    Planted("network_backward", "second gradient dropped", loop_keeps_the_first, "dropped"),
    Planted("network_backward", "added in place", loop_in_place, "in place"),
    Planted("network_backward", "mean of two gradients", loop_mean, "mean"),
    Planted("network_backward", "rectifier passed over", loop_without_rectifier, "rectifier"),
    Planted("network_backward", "sum shares out", loop_divides_the_sum, "shares"),
    Planted("network_backward", "sign", loop_negative, "sign"),
]

RIGHT = [
    Right("crop", "np.take", crop_takes),
    Right("crop", "a view", crop_view),
    Right("crop_backward", "np.pad", uncrop_pad),
    Right("crop_backward", "loops, float32", uncrop_loops),
    Right("crop_offset", "step by step", offset),
    Right("crop_offset", "matrices", offset_numpy),
    Right("crop_offset", "rounded", offset_integers),
    Right("network_backward", "a loop", loop),
    Right("network_backward", "recursion", recursive),
    Right("network_backward", "lists of gradients, float32", collected),
]
