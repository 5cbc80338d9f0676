"""A network: a list of named layers and what each of them reads.

That list is the single source for everything: forward walks it, backward walks it the other way, printing,
shapes and receptive fields (geometry.py) follow it, parameters and activations are named by it.

Layers run one by one, but for rectifiers. Behind a convolution or a normalisation that nobody else reads, max(0, x)
costs nothing if that layer does it before it writes its output; and its gradient costs nothing if the one layer
that reads the rectifier sets its own dx to 0 where its input is. So such a rectifier runs inside its neighbours,
and a pooling behind it as well (`fuse`).
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from minifcn.geometry import IMAGE, views
from minifcn.kernels.recording import unrecorded
from minifcn.layers.activation import ReLU
from minifcn.layers.base import Layer, Shape
from minifcn.layers.conv import Conv2d
from minifcn.layers.merge import summed
from minifcn.layers.pooling import MaxPool2d


class Node(NamedTuple):
    """A layer in its place: what it reads, by name."""

    layer: Layer
    reads: tuple[str, ...]


class Run(NamedTuple):
    """Nodes that run as one: a layer, perhaps a rectifier behind it, and behind a convolution's also a pooling.

    `name` is the last of them.
    """

    name: str
    node: str  # the name of the layer
    layer: Layer
    reads: tuple[str, ...]
    rectified: bool  # the layer computes max(0, y)
    pool: MaxPool2d | None  # and the largest of each 2x2 pixels of it
    through_relu: bool  # its dx is the gradient of what went into the rectifier that it reads
    passed: bool  # of a rectifier: its only reader is such a layer, so backward has nothing left to do

    def forward(self, *inputs: np.ndarray, **options: Any) -> Any:
        if not self.layer.recordable:
            unrecorded(repr(self.layer))
        if self.rectified:
            options["relu"] = True
        if self.pool is not None:
            options["pool"] = self.pool
        return self.layer.forward(*inputs, **options)

    def backward(self, dy: np.ndarray, y: np.ndarray, cache: Any, needs: tuple[str, ...]) -> Any:
        if self.passed and isinstance(self.layer, ReLU):
            return dy, {}
        if self.rectified and self.pool is None and not self.passed:
            dy, _ = ReLU().backward(dy, y)
        options: dict[str, Any] = {"through_relu": True} if self.through_relu else {}
        if self.pool is not None:
            options["pool"] = self.pool
        if self.layer.params:  # such layers can leave out a gradient that nobody reads
            options["needs"] = needs
        return self.layer.backward(dy, cache, **options)


def fuse(nodes: dict[str, Node], keep: Iterable[str] = ()) -> list[Run]:
    """What runs as one. The activations named in `keep` are wanted, so their layers are left alone."""
    readers: dict[str, list[str]] = {name: [] for name in (IMAGE, *nodes)}
    for name, node in nodes.items():
        for source in node.reads:
            readers[source].append(name)

    def only_reader(name):
        return readers[name][0] if len(readers[name]) == 1 and name not in keep else None

    runs: list[Run] = []
    done: set[str] = set()
    for name, (layer, reads) in nodes.items():
        if name in done:
            continue
        end, pool, following = name, None, only_reader(name)
        if layer.rectifies and following is not None and isinstance(nodes[following].layer, ReLU):
            end, following = following, only_reader(following)
            reader = nodes[following].layer if following is not None else None
            if isinstance(layer, Conv2d) and isinstance(reader, MaxPool2d) and reader.side_by_side:
                end, pool = following, reader
        done.update((end, nodes[end].reads[0]))
        before = nodes.get(reads[0])
        after_relu = before is not None and isinstance(before.layer, ReLU) and len(readers[reads[0]]) == 1
        reader = nodes[readers[end][0]].layer if len(readers[end]) == 1 else None
        passed = isinstance(nodes[end].layer, ReLU) and reader is not None and reader.fuses_relu
        through_relu = after_relu and layer.fuses_relu
        runs.append(Run(end, name, layer, reads, end != name, pool, through_relu, passed))
    return runs


class Tape(dict):
    """The activations of a forward pass by name, and in `caches` what each layer keeps for backward.

    What lies between layers that ran as one is not stored, but computed again when it is asked for.
    """

    def __init__(self, nodes: dict[str, Node], train: bool = False) -> None:
        super().__init__()
        self.nodes, self.train = nodes, train
        self.caches: dict[str, Any] = {}

    def __missing__(self, name: str) -> np.ndarray:
        if name not in self.nodes:
            raise KeyError(name)
        layer, reads = self.nodes[name]
        return layer.forward(*(self[source] for source in reads), train=self.train)[0]


class Network:
    """Layers in the order they run. The last one added gives the output.

    >>> from minifcn.layers import Conv2d, ReLU
    >>> net = Network()
    >>> net.add("conv1", Conv2d(3, 8, kernel_size=3, padding=1), "image")
    >>> net.add("relu1", ReLU())                      # reads the layer before it
    >>> net(np.zeros((1, 5, 7, 3), np.float32)).shape
    (1, 5, 7, 8)
    """

    def __init__(self, image_shape: Shape = (1, 64, 64, 3)):
        self.nodes: dict[str, Node] = {}
        self.image_shape = image_shape  # an example, for printing; other sizes are as welcome
        self.recipe: dict[str, Any] | None = None  # how models.build makes this network again
        self._runs: list[Run] | None = None  # what runs as one, until another layer is added

    def add(self, name: str, layer: Layer, *reads: str) -> None:
        """Append a layer that reads the nodes named, "image" being the input; by default the one before it.

        Raises ValueError for a name that is taken and for one that does not exist yet.
        """
        reads = reads or (self.output if self.nodes else IMAGE,)
        if name in self.nodes or name == IMAGE or "." in name or not name:
            raise ValueError(f"a layer cannot be named {name!r}: the name is taken, empty or has a dot in it")
        for source in reads:
            if source not in self.nodes and source != IMAGE:
                raise ValueError(f"{name} reads {source!r}, which is not among {[IMAGE, *self.nodes]}")
        self.nodes[name] = Node(layer, reads)
        self._runs = None

    @property
    def output(self) -> str:
        """The name of the last layer."""
        if not self.nodes:
            raise ValueError("the network has no layers yet")
        return next(reversed(self.nodes))

    # ---------------------------------------------------------------- parameters, by name

    @property
    def params(self) -> dict[str, np.ndarray]:
        """Every parameter as "layer.parameter", in layer order: the arrays themselves, not copies."""
        return {
            f"{name}.{key}": array
            for name, node in self.nodes.items()
            for key, array in node.layer.params.items()
        }

    @property
    def state(self) -> dict[str, np.ndarray]:
        """What layers remember from training, by names such as "bn1.running_mean": the arrays, not copies."""
        return {
            f"{name}.{key}": array
            for name, node in self.nodes.items()
            for key, array in node.layer.state.items()
        }

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Parameters and state: all numbers that the network computes with."""
        return self.params | self.state

    @property
    def trainable(self) -> dict[str, np.ndarray]:
        """The parameters of the layers that are not frozen: those that `backward` gives gradients of."""
        return {
            name: array
            for name, array in self.params.items()
            if not self.nodes[name.split(".")[0]].layer.frozen
        }

    def load_params(self, arrays: dict[str, np.ndarray]) -> None:
        """Copy `arrays` into the parameters of the same names.

        Raises ValueError, and changes nothing, unless names and shapes agree; the message lists what differs.
        """
        _copy_by_name(arrays, self.params, "parameter")

    def load_state(self, arrays: dict[str, np.ndarray]) -> None:
        """The same for the `state`."""
        _copy_by_name(arrays, self.state, "state")

    def astype(self, dtype: type) -> "Network":
        """Turn all arrays into float32 or float64 (to check gradients). Returns the network itself."""
        for layer, _ in self.nodes.values():
            layer.params = {key: array.astype(dtype) for key, array in layer.params.items()}
            layer.state = {key: array.astype(dtype) for key, array in layer.state.items()}
        return self

    # ---------------------------------------------------------------- forward and backward

    @property
    def runs(self) -> list[Run]:
        """What forward runs, in order."""
        if self._runs is None:
            self._runs = fuse(self.nodes)
        return self._runs

    def forward(
        self, images: np.ndarray, train: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, Tape]:
        """The output, and the tape: `tape["pool3"]` is that activation, and `backward` needs the tape.

        `train` switches on what differs in training: dropout, with random numbers from `rng`, and the statistics
        of the batch, which layers then remember in their state.
        """
        tape = Tape(self.nodes, train)
        tape[IMAGE] = images
        for run in self.runs:
            inputs = (tape[source] for source in run.reads)
            tape[run.name], tape.caches[run.name] = run.forward(*inputs, train=train, rng=rng)
            if train:
                run.layer.remember(tape.caches[run.name])
        return tape[self.output], tape

    def backward(self, dy: np.ndarray, tape: Tape, image_gradient: bool = False) -> dict[str, np.ndarray]:
        """The gradient of every trainable parameter, given dy, the loss's gradient with respect to the output.

        Where several layers read one activation, its gradients add up. With `image_gradient` the result also
        has the gradient with respect to the "image".
        """
        upstream: dict[str, np.ndarray] = {self.output: dy}
        grads: dict[str, np.ndarray] = {}
        wanted = self._need_gradients(image_gradient)
        for run in reversed(self.runs):
            dy_here, own = upstream.pop(run.name, None), {}
            needs = ("input",) * bool(wanted.intersection(run.reads))
            needs += ("parameters",) * bool(run.layer.params and not run.layer.frozen)
            if dy_here is None:  # nothing of the output comes through here
                own = {key: np.zeros_like(array) for key, array in run.layer.params.items()}
            elif needs:
                dx, own = run.backward(dy_here, tape[run.name], tape.caches[run.name], needs)
                for source, dx_source in zip(run.reads, dx if isinstance(dx, tuple) else (dx,)):
                    if dx_source is not None and source in wanted:
                        before = upstream.get(source)
                        upstream[source] = dx_source if before is None else summed(before, dx_source)
            if not run.layer.frozen:
                grads |= {f"{run.node}.{key}": array for key, array in own.items()}
        ordered = {name: grads[name] for name in self.trainable}
        return ordered | {IMAGE: upstream[IMAGE]} if image_gradient else ordered

    def _need_gradients(self, image_gradient: bool) -> set[str]:
        """The activations that depend on a trainable parameter, or on the image if its gradient is wanted."""
        found = {IMAGE} if image_gradient else set()
        for name, (layer, reads) in self.nodes.items():
            if (layer.params and not layer.frozen) or found.intersection(reads):
                found.add(name)
        return found

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """The output alone. Every activation is let go as soon as its last reader has run."""
        return self.activations(images, [self.output])[self.output]

    def activations(self, images: np.ndarray, names: Iterable[str]) -> dict[str, np.ndarray]:
        """The named activations, computed with no more memory alive, and no more layers run, than they need."""
        keep = list(names)
        for name in keep:
            if name not in self.nodes and name != IMAGE:
                raise ValueError(f"there is no layer {name!r}; there are {', '.join(self.nodes)}")
        runs = self.runs if keep == [self.output] else fuse(self.nodes, keep)
        last_reader: dict[str, str] = {}
        needed = set(keep)
        for run in reversed(runs):
            if run.name in needed:
                needed.update(run.reads)
                for source in run.reads:
                    last_reader.setdefault(source, run.name)
        alive = {IMAGE: images}
        for run in runs:
            if run.name in needed:
                alive[run.name] = run.forward(*(alive[source] for source in run.reads))[0]
                for source in set(run.reads):
                    if last_reader[source] == run.name and source not in keep:
                        del alive[source]
        return {name: alive[name] for name in keep}

    # ---------------------------------------------------------------- what it looks like

    def shapes(self, image_shape: Shape) -> dict[str, Shape]:
        """The shape of every activation for images of this shape, without computing any."""
        shapes = {IMAGE: tuple(image_shape)}
        for name, (layer, reads) in self.nodes.items():
            try:
                shapes[name] = layer.output_shape(*(shapes[source] for source in reads))
            except ValueError as error:
                raise ValueError(f"layer {name}: {error}") from None
        return shapes

    def summary(self, image_shape: Shape) -> str:
        """The network as a table: name, layer, reads, output shape, parameters, stride, receptive field."""
        shapes, seen = self.shapes(image_shape), [views(self, axis=axis) for axis in (0, 1)]
        rows = [("name", "layer", "reads", "output", "parameters", "stride", "field")]
        rows.append((IMAGE, "", "", _times(shapes[IMAGE]), "", "1", "1"))
        for name, (layer, reads) in self.nodes.items():
            strides, fields = zip(*(_printed(found.get(name)) for found in seen))
            size = sum(array.size for array in layer.params.values())
            rows.append(
                (
                    name,
                    repr(layer) + (" frozen" if layer.frozen else ""),
                    ", ".join(reads),
                    _times(shapes[name]),
                    f"{size:,}" if size else "",
                    _both(*strides),
                    _both(*fields),
                )
            )
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        numbers = (4, 5, 6)
        lines = [
            "  ".join(
                cell.rjust(w) if k in numbers else cell.ljust(w)
                for k, (cell, w) in enumerate(zip(row, widths))
            )
            for row in rows
        ]
        total = sum(array.size for array in self.params.values())
        trainable = sum(array.size for array in self.trainable.values())
        note = "" if total == trainable else f", {trainable:,} of them trainable"
        lines.append(f"{total:,} parameters{note}")
        return "\n".join(line.rstrip() for line in lines)

    def __str__(self) -> str:
        return self.summary(self.image_shape)


def _copy_by_name(arrays, own, kind):
    """Copy into `own`. ValueError, with nothing changed, unless names and shapes agree and all are floats."""
    problems = [f"{name} is missing" for name in own if name not in arrays]
    problems += [f"{name} is not a {kind} of this network" for name in arrays if name not in own]
    for name, array in arrays.items():
        if name in own and own[name].shape != array.shape:
            problems.append(f"{name} has shape {array.shape}, expected {own[name].shape}")
        if not np.issubdtype(array.dtype, np.floating):
            problems.append(f"{name} is of {array.dtype}, expected floating-point numbers")
    if problems:
        raise ValueError(f"these {kind}s do not fit the network:\n  " + "\n  ".join(problems))
    for name, array in arrays.items():
        own[name][...] = array


def _printed(v):
    """Stride and field of a node. Where branches of different strides meet it has neither."""
    if v is None:
        return "mixed", "mixed"
    field = float(v.field)
    return str(v.stride) if v.stride else "–", f"{field:g}" if field < float("inf") else "all"


def _times(shape):
    return "x".join(str(n) for n in shape)


def _both(vertical, horizontal):
    return vertical if vertical == horizontal else f"{vertical} x {horizontal}"
