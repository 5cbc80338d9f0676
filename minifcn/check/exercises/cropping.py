"""Crops, their gradient and where they start: right ones, and the wrong ones that learners get.

x (N, H, W, C); `offset` is (rows, columns). A layer on the way from the image is (kind, kernel, stride, padding),
where kind is "conv", "pool" or "up", a transposed convolution.
"""

from fractions import Fraction

import numpy as np

from minifcn.check.diagnosis import Mistake
from minifcn.layers.merge import Crop

CROPS = 'lesson 8, "Crops, computed"'
PLACES = 'lesson 8, "Where does a pixel lie?"'


# ---------------------------------------------------------------- the right answers


def cut(x, height, width, offset):
    y, _ = Crop(offset).forward(x, np.empty((len(x), height, width, 1)))
    return y


def cut_backward(dy, input_shape, offset):
    (dx, _), _ = Crop(offset).backward(np.ascontiguousarray(dy), (tuple(input_shape), dy.shape))
    return dx


def offset_between(layers, reference):
    """Pixel i lies at a i + b of the image, so a (j + offset) + b = a j + b of the reference."""
    (a, b), (_, b_reference) = _place(layers), _place(reference)
    return int((b_reference - b) / a)


def _place(layers, half=lambda kernel: Fraction(kernel - 1, 2), early=(), up=True, back=1, use=(1, 1)):
    """(a, b): pixel i lies at a i + b. Whatever is not by default is a mistake."""
    a, b = Fraction(1), Fraction(0)
    for kind, kernel, stride, padding in layers:
        shift = use[0] * half(kernel) - use[1] * padding
        if kind == "up" and up:
            b -= (a if kind in early else a / stride) * back * shift
            a /= stride
        else:
            b += (a * stride if kind in early else a) * shift
            a *= stride
    return a, b


# ---------------------------------------------------------------- mistakes of the crop


def _centred(x, height, width, offset):
    top, left = (x.shape[1] - height) // 2, (x.shape[2] - width) // 2
    return x[:, top : top + height, left : left + width]


def _off_by(step):
    def wrong(x, height, width, offset):
        rows, columns = (
            np.clip(np.arange(n) + o + step, 0, size - 1)
            for n, o, size in zip((height, width), offset, x.shape[1:3])
        )
        return x[:, rows][:, :, columns]

    return wrong


CENTRED = (
    "This is the middle of x. FCN's crops are not centred: they start at `offset`, and the rest is at the"
    " far side."
)

CROP_MISTAKES = (
    Mistake(CENTRED, CROPS, _centred),
    Mistake(
        "The offset is ignored: y starts at pixel `offset` of x, not at pixel 0.",
        CROPS,
        lambda x, height, width, offset: x[:, :height, :width],
    ),
    Mistake(
        "The slice ends too early: offset : height has height - offset pixels. It ends at offset + height.",
        CROPS,
        lambda x, height, width, offset: x[:, offset[0] : height, offset[1] : width],
    ),
    Mistake(
        "It goes on to the end of x; y has `height` rows and `width` columns.",
        CROPS,
        lambda x, height, width, offset: x[:, offset[0] :, offset[1] :],
    ),
    Mistake(
        "`offset` is cut off on both sides. It is where y starts; how much is left is said by height and"
        " width.",
        CROPS,
        lambda x, height, width, offset: x[
            :, offset[0] : x.shape[1] - offset[0], offset[1] : x.shape[2] - offset[1]
        ],
    ),
    Mistake(
        "It is cut from the far end; `offset` counts from the near one.",
        CROPS,
        lambda x, height, width, offset: x[:, x.shape[1] - height :, x.shape[2] - width :],
    ),
    Mistake(
        "Rows and columns of the offset are swapped: offset[0] goes down, offset[1] to the right.",
        CROPS,
        lambda x, height, width, offset: x[:, offset[1] : offset[1] + height, offset[0] : offset[0] + width],
    ),
    Mistake(
        "Height and width are swapped: rows come first.",
        CROPS,
        lambda x, height, width, offset: x[:, offset[0] : offset[0] + width, offset[1] : offset[1] + height],
    ),
    *(
        Mistake("The crop is wrong by one pixel: y[0] is x[offset].", CROPS, _off_by(step))
        for step in (1, -1)
    ),
)


# ---------------------------------------------------------------- mistakes of its gradient


def _placed(place, around=None):
    """dy put at `place` of zeros; or with something else around it, as np.pad can do."""

    def wrong(dy, input_shape, offset):
        top, left = place(dy.shape, input_shape, offset)
        (_, H, W, _), (_, h, w, _) = input_shape, dy.shape
        if around is not None:
            return np.pad(dy, ((0, 0), (top, H - h - top), (left, W - w - left), (0, 0)), **around)
        dx = np.zeros(input_shape)
        dx[:, top : top + h, left : left + w] = dy
        return dx

    return wrong


BACKWARD_MISTAKES = (
    Mistake(
        "dy is put into the middle; it goes back to where it was cut out, at `offset`.",
        CROPS,
        _placed(lambda dy, x, offset: ((x[1] - dy[1]) // 2, (x[2] - dy[2]) // 2)),
    ),
    Mistake(
        "The offset is ignored: dy goes back to where it was cut out, not to pixel 0.",
        CROPS,
        _placed(lambda dy, x, offset: (0, 0)),
    ),
    Mistake(
        "dy is put at the far end; `offset` counts from the near one.",
        CROPS,
        _placed(lambda dy, x, offset: (x[1] - dy[1], x[2] - dy[2])),
    ),
    Mistake(
        "Rows and columns of the offset are swapped: offset[0] goes down, offset[1] to the right.",
        CROPS,
        _placed(lambda dy, x, offset: offset[::-1]),
    ),
    *(
        Mistake(
            "What was cut off gets a gradient. It does not reach the loss, so its gradient is 0.",
            CROPS,
            _placed(lambda dy, x, offset: offset, around),
        )
        for around in ({"mode": "edge"}, {"constant_values": 1.0})
    ),
    Mistake(
        "dx has the shape of dy. It has the shape of what was cropped, with zeros where something was cut off.",
        CROPS,
        lambda dy, input_shape, offset: dy.copy(),
    ),
    Mistake(
        "dy is cropped once more. The way back puts it into a larger map of zeros.",
        CROPS,
        lambda dy, input_shape, offset: dy[:, offset[0] :, offset[1] :].copy(),
    ),
    Mistake(
        "Zeros stand on both sides of dy, `offset` of them on each; dx has `input_shape`, so the rest is at"
        " the far side.",
        CROPS,
        lambda dy, input_shape, offset: np.pad(dy, ((0, 0), *((o, o) for o in offset), (0, 0))),
    ),
)


# ---------------------------------------------------------------- mistakes of the offset


def _between(**changed):
    """The offset, with other places."""

    def wrong(layers, reference):
        (a, b), (_, b_reference) = _place(layers, **changed), _place(reference, **changed)
        return float((b_reference - b) / a)

    return wrong


def _not_in_pixels(layers, reference):
    return float(_place(reference)[1] - _place(layers)[1])


def _from_the_image(layers, reference):
    a, b = _place(layers)
    return float(-b / a)


def _to_the_other(layers, reference):
    return float((_place(layers)[1] - _place(reference)[1]) / _place(layers)[0])


HALF = "A window of k pixels has its middle at (k - 1) / 2, not at k / 2: that of a single pixel is at 0."
DROPPED = (
    "Halves are dropped: (kernel - 1) // 2 is half a pixel off for even kernels. They cancel only in the end."
)

OFFSET_MISTAKES = (
    Mistake(
        "The kernels are ignored: a window's middle lies (kernel - 1) / 2 behind its start.",
        PLACES,
        _between(use=(0, 1)),
    ),
    Mistake(
        "The padding is ignored: it moves the first window by `padding` pixels.", PLACES, _between(use=(1, 0))
    ),
    Mistake(
        "The padding has the wrong sign: the first window starts at pixel -padding.",
        PLACES,
        _between(use=(1, -1)),
    ),
    Mistake(HALF, PLACES, _between(half=lambda kernel: Fraction(kernel, 2))),
    Mistake(DROPPED, PLACES, _between(half=lambda kernel: Fraction((kernel - 1) // 2))),
    Mistake(
        DROPPED,
        PLACES,
        lambda layers, reference: float(_between(half=lambda k: Fraction(k // 2))(layers, reference)),
    ),
    Mistake(
        "A layer's pixels count as if they were those of the image: multiply its shift by a, how far its"
        " pixels are apart.",
        PLACES,
        lambda layers, reference: float(_unscaled(reference) - _unscaled(layers)),
    ),
    *(
        Mistake(
            "The stride of a layer comes too early: its own shift is in pixels of its input, so first b,"
            " then a.",
            PLACES,
            _between(early=kinds),
        )
        for kinds in (("conv", "pool"), ("conv", "pool", "up"))
    ),
    Mistake(
        "An upsampling is taken for a convolution: it goes the other way, so it divides a and its shift has"
        " the other sign.",
        PLACES,
        _between(up=False),
    ),
    Mistake(
        "The shift of an upsampling has the wrong sign: it paints (kernel - 1) / 2 - padding further, so"
        " pixel i of its output lies that much nearer to the start.",
        PLACES,
        _between(back=-1),
    ),
    Mistake(
        "The result is in pixels of the image: divide it by a, how far the pixels are apart.",
        PLACES,
        _not_in_pixels,
    ),
    Mistake("The reference is ignored: it need not be the image.", PLACES, _from_the_image),
    Mistake(
        "The two are exchanged: the offset is that of `layers`, which is cropped to `reference`.",
        PLACES,
        _to_the_other,
    ),
)


def _unscaled(layers):
    """The shifts simply added up."""
    shifts = [(-1 if kind == "up" else 1) * (Fraction(k - 1, 2) - p) for kind, k, _, p in layers]
    return sum(shifts, Fraction(0))
