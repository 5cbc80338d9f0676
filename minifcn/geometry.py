"""Where a pixel of one layer lies in another: stride, offset and receptive field, computed layer by layer.

Every layer says what its output pixel i sees of its input: the pixels from stride i + first to stride i + last
(`Layer.footprint`). Footprints compose, because a line put into a line is a line. The crop offsets of FCN, its
strides of 8, 16 and 32 and the 404 pixels of view of fc6 all follow; none of them is typed anywhere.

Sources: Long, Shelhamer & Darrell (2015), sections 3 and 4; the composition of coordinate maps is the one of
Caffe's coord_map.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple, Protocol

from minifcn.layers.base import Layer

IMAGE = "image"  # the name of a network's input


class Graph(Protocol):
    """What is asked of a network here: its layers by name, in the order they run, and what each reads."""

    @property
    def nodes(self) -> Mapping[str, tuple[Layer, tuple[str, ...]]]: ...


class View(NamedTuple):
    """Along one axis: pixel i of a node is centred on stride i + offset of another and sees first … last.

    `first` and `last` are relative to stride i, as in a layer's footprint. A stride of 1/8 means that the node
    has eight pixels where the other has one. A node that is not made of places (behind a Flatten, say) has stride 0
    and an infinite field.
    """

    stride: Fraction
    offset: Fraction | float
    first: Fraction | float
    last: Fraction | float

    @property
    def field(self) -> Fraction | float:
        """The receptive field: how many pixels of the other node it sees; behind an upsampling, at most."""
        return self.last - self.first + 1


def view(net: Graph, node: str, of: str = IMAGE, axis: int = 0) -> View:
    """How `node` sees the node `of`, the image by default; axis 0 is vertical, 1 horizontal.

    Where several paths lead there, the field covers all of them, and the offset is that of the first. A path of
    stride 0, which brings the same to every pixel (an average over the whole image, say), tells no place.
    Raises ValueError if no path leads from `of` to `node`, or if paths have different strides.
    """
    if node != IMAGE and node not in net.nodes:
        raise ValueError(f"there is no layer {node!r}")
    found, problems = _walk(net, of, axis)
    if node not in found:
        raise ValueError(problems.get(node, f"{of!r} does not feed {node!r}"))
    return found[node]


def views(net: Graph, of: str = IMAGE, axis: int = 0) -> dict[str, View]:
    """The view of every node that has one: `of` feeds it, and no branches of different strides meet before it."""
    return _walk(net, of, axis)[0]


def _walk(net, of, axis):
    """The views by name, and of the nodes that `of` feeds but that have none, what is wrong."""
    found = {of: View(Fraction(1), Fraction(0), Fraction(0), Fraction(0))}
    problems: dict[str, str] = {}
    for name, (layer, reads) in net.nodes.items():
        seen = [(which, source) for which, source in enumerate(reads) if layer.footprint(which) is not None]
        wrong = [problems[source] for _, source in seen if source in problems]
        paths = [
            _compose(found[source], layer.footprint(which)[axis]) for which, source in seen if source in found
        ]
        placed = [v for v in paths if v.stride] or paths
        if not wrong and len({v.stride for v in placed}) > 1:
            wrong = [f"{name} joins branches of strides {', '.join(str(v.stride) for v in placed)}"]
        if wrong:
            problems[name] = wrong[0]
        elif paths and name != of:
            first, last = min(v.first for v in paths), max(v.last for v in paths)
            found[name] = View(placed[0].stride, placed[0].offset, first, last)
    return found, problems


def _compose(inner: View, outer) -> View:
    """What a layer with footprint `outer` sees through a node that has the view `inner`."""
    if outer.last == float("inf"):
        return View(inner.stride * outer.stride, inner.offset, -float("inf"), float("inf"))
    first, last = Fraction(outer.first), Fraction(outer.last)
    return View(
        inner.stride * outer.stride,
        inner.stride * (first + last) / 2 + inner.offset,
        inner.stride * first + inner.first,
        inner.stride * last + inner.last,
    )


def crop_offset(net: Graph, node: str, reference: str) -> tuple[int, int]:
    """Where to start cropping `node` so that its pixels lie on those of `reference`, per axis.

    Pixel j + offset of `node` and pixel j of `reference` are then centred on the same image pixel:
    offset = (offset of reference - offset of node) / stride. Raises ValueError if the two have different
    strides, or if no whole offset of at least 0 brings them together; the message has the numbers.
    """
    offsets = []
    for axis in (0, 1):
        a, b = view(net, node, axis=axis), view(net, reference, axis=axis)
        if a.stride != b.stride or not a.stride:
            raise ValueError(
                f"{node} has stride {a.stride} and {reference} has {b.stride}: no crop aligns them"
            )
        offset = Fraction(b.offset - a.offset) / a.stride
        if offset.denominator != 1 or offset < 0:
            raise ValueError(f"{node} would have to be cropped by {offset} pixels to lie on {reference}")
        offsets.append(int(offset))
    return offsets[0], offsets[1]
