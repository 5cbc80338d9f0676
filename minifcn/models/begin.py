"""How every model begins: what it was asked for is checked, and noted as the recipe that makes it again."""

from collections.abc import Collection
from typing import Any

from minifcn.network import Network


def begin(model: str, classes: int, backbone: str, known: Collection[str], **options: Any) -> Network:
    """An empty network with its recipe. Options that are None are left out of it: they are the backbone's.

    Raises ValueError if there is no class, or if `backbone` is not among the known ones.
    """
    if backbone not in known:
        raise ValueError(f"backbone is {backbone!r}; expected one of {', '.join(known)}")
    if classes < 1:
        raise ValueError(f"classes is {classes}; expected at least 1")
    # A recipe comes back from a checkpoint with lists where there were tuples.
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    net = Network()
    net.recipe = {"model": model, "classes": classes, "backbone": backbone}
    net.recipe |= {name: value for name, value in plain.items() if value is not None}
    return net
