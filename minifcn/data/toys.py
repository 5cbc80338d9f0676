"""The toy data by name: made on the spot, each with its recipe."""

from collections.abc import Callable
from typing import NamedTuple

from minifcn.data.buildings import Buildings
from minifcn.data.cells import Cells
from minifcn.data.drawn import Drawn
from minifcn.data.lines import Lines
from minifcn.data.shapes import Shapes

HELD_OUT_SEED = 2**31  # the images that every run is measured on, whatever its seed


class Toy(NamedTuple):
    """How many images there are, and how a run takes them unless it is told otherwise."""

    make: Callable[..., Drawn]
    images: int
    held_out: int
    batch_size: int
    crop: int  # 0: whole images
    augment: tuple[str, ...]

    def training(self, seed: int) -> Drawn:
        return self.make(self.images, seed=seed)

    def validation(self) -> Drawn:
        return self.make(self.held_out, seed=HELD_OUT_SEED)


TOYS = {
    "shapes": Toy(Shapes, 3000, 200, batch_size=8, crop=0, augment=("mirror", "transpose")),
    "cells": Toy(Cells, 1000, 100, batch_size=8, crop=0, augment=("mirror", "turn")),
    "buildings": Toy(Buildings, 200, 40, batch_size=4, crop=256, augment=("mirror", "turn")),
    "lines": Toy(Lines, 1000, 100, batch_size=8, crop=0, augment=("mirror", "turn")),
}
