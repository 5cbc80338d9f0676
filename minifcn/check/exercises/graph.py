"""Backward through a network of named layers: right, and in the wrong ways that learners find.

`nodes` are the layers by name in the order they run, each with what it reads; `caches` what each kept in forward.
The networks here are all of one build, a little FCN with one skip: conv1, perhaps a rectifier, conv2, and skip,
which reads what conv2 reads; their sum; a crop to the image's size; and score.
"""

from collections.abc import Mapping

import numpy as np
from hypothesis import strategies as st

from minifcn.check.cases import simple
from minifcn.check.diagnosis import Mistake
from minifcn.geometry import IMAGE
from minifcn.layers import Add, Conv2d, Crop, ReLU
from minifcn.network import Node

TWICE = 'lesson 8, "Backward through a graph"'

CONVOLUTIONS = ("conv1", "conv2", "skip", "score")
NAMES = (*(f"{name}.weight" for name in CONVOLUTIONS), "score.bias")


class Kept(Mapping):
    """A dictionary that cannot be changed, and whose arrays are not printed: few would want to read them."""

    def __init__(self, caches):
        self._caches = caches

    def __getitem__(self, name):
        return self._caches[name]

    def __iter__(self):
        return iter(self._caches)

    def __len__(self):
        return len(self._caches)

    def __repr__(self):
        return "what each layer has kept in forward, by name"


@st.composite
def graphs(draw):
    """nodes, dscores and caches: convolutions of one pixel, so that one can follow the numbers."""
    N, H, W = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    C, K, padding = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(0, 1))
    nodes: dict[str, Node] = {}

    def conv(name, channels, classes, source, padding=0, bias=False):
        layer = Conv2d(channels, classes, 1, padding=padding, bias=bias, dtype=np.float64)
        layer.params = {key: draw(simple(array.shape)) for key, array in layer.params.items()}
        nodes[name] = Node(layer, (source,))

    conv("conv1", 1, C, IMAGE, padding)
    last = "conv1"
    if draw(st.booleans()):
        nodes["relu1"], last = Node(ReLU(), ("conv1",)), "relu1"
    conv("conv2", C, K, last)
    conv("skip", C, K, last)
    others = draw(
        st.sampled_from([("skip",), ("skip", "conv2")])
    )  # what is read twice by one layer counts twice
    nodes["sum"] = Node(Add(), ("conv2", *others))
    nodes["crop"] = Node(Crop(padding), ("sum", IMAGE))
    conv("score", K, K, "crop", bias=True)
    caches = _forward(nodes, draw(simple((N, H, W, 1))))
    return {"nodes": nodes, "dscores": draw(simple((N, H, W, K))), "caches": caches}


def _forward(nodes, image):
    values, caches = {IMAGE: image}, {}
    for name, (layer, reads) in nodes.items():
        values[name], caches[name] = layer.forward(*(values[source] for source in reads))
    return Kept(caches)


# ---------------------------------------------------------------- the right answer, and its variations


def _added(upstream, source, d):
    upstream[source] = upstream[source] + d if source in upstream else d


def walk_back(nodes, dscores, caches, collect=_added, through=lambda layer, dy, dx: dx):
    """The gradient of every parameter. `collect` puts a gradient with those that are there already; `through` may
    hand on something else than dx."""
    upstream = {list(nodes)[-1]: dscores}
    grads: dict[str, np.ndarray] = {}
    for name in reversed(nodes):
        layer, reads = nodes[name]
        dx, own = layer.backward(np.ascontiguousarray(upstream[name]), caches[name])
        grads |= {f"{name}.{key}": array for key, array in own.items()}
        dx = through(layer, upstream[name], dx)
        for source, d in zip(reads, dx if isinstance(dx, tuple) else (dx,)):
            if d is not None:
                collect(upstream, source, d)
    return grads


def _walked(**changed):
    return lambda *arguments: walk_back(*arguments, **changed)


def _overwritten(upstream, source, d):
    upstream[source] = d


def _in_place(upstream, source, d):
    if source in upstream:
        upstream[source] += d
    else:
        upstream[source] = d


def _in_place_on_a_copy(nodes, dscores, caches):
    """dscores must not be changed; a learner who keeps it safe can still add to an array that others share."""
    return walk_back(nodes, dscores.copy(), caches, collect=_in_place)


def _mean(upstream, source, d):
    upstream[source] = (upstream[source] + d) / 2 if source in upstream else d


def _shared_out(layer, dy, dx):
    return tuple(d / len(dx) for d in dx) if isinstance(layer, Add) else dx


def _first_only(layer, dy, dx):
    return dx[:1] if isinstance(dx, tuple) else dx


def _unrectified(layer, dy, dx):
    return dy if isinstance(layer, ReLU) else dx


GRAPH_MISTAKES = (
    Mistake(
        "An activation that is read twice gets two gradients; the second is put over the first (=). They add.",
        TWICE,
        _walked(collect=_overwritten),
    ),
    Mistake(
        "An activation that is read twice gets two gradients; the second is dropped. They add.",
        TWICE,
        _walked(collect=lambda upstream, source, d: upstream.setdefault(source, d)),
    ),
    Mistake(
        "It is added in place (+=) to an array that others hold as well: a sum hands the same dy to all"
        " that it reads. Write upstream[source] = upstream[source] + d, which makes a new one.",
        TWICE,
        _in_place_on_a_copy,
    ),
    Mistake(
        "It is a mean over the readers of an activation; their gradients add.", TWICE, _walked(collect=_mean)
    ),
    Mistake(
        "The sum shares dy out among what it reads. Each of them gets all of it, for y grows with each by 1.",
        TWICE,
        _walked(through=_shared_out),
    ),
    Mistake(
        "Layers without parameters are passed over: the rectifier has a gradient of its own.",
        TWICE,
        _walked(through=_unrectified),
    ),
)
