"""VGG16 at a stride of 8: its last two poolings lose their stride, and what is behind them is dilated instead.

A pooling of stride 1 leaves four times as many places. A convolution behind it still sees what it has seen before
if its kernel skips every other one: dilation 2 behind the first such pooling, 4 behind the second. So the weights
of VGG16 fit as they are. DeepLab, the dilated networks of Yu & Koltun and PSPNet start from such a trunk.

Sources: Chen et al., Semantic image segmentation with deep convolutional nets and fully connected CRFs (2015),
section 3.1; Yu & Koltun, Multi-scale context aggregation by dilated convolutions (2016), section 4.
"""

from collections.abc import Callable, Sequence

import numpy as np

from minifcn.layers import Conv2d, MaxPool2d, ReLU
from minifcn.models.backbones import STAGES
from minifcn.network import Network


def halve() -> MaxPool2d:
    """The pooling of VGG16, which rounds up here."""
    return MaxPool2d(2, ceil_mode=True)


def dilated_trunk(
    net: Network,
    rng: np.random.Generator,
    backbone: str,
    widths: Sequence[int] | None,
    pools: Sequence[Callable[[], MaxPool2d]] = (halve, halve, halve),
    padded: bool = True,
) -> int:
    """conv1_1 … relu5_3, or pool5 where there is one, at stride 8. Returns the channels.

    `widths` are the channels of the five stages, those of STAGES if None; `pools` make the poolings behind the
    first stages, the others have none. `padded` convolutions keep the size, others lose a border. Raises ValueError
    if there are not five widths.
    """
    usual, depths = STAGES[backbone]
    widths = usual if widths is None else widths
    if len(widths) != 5:
        raise ValueError(f"widths is {tuple(widths)}; expected five numbers, one a stage")
    channels = 3
    for stage, (width, depth) in enumerate(zip(widths, depths), start=1):
        dilation = 2 if stage == 5 else 1
        for k in range(1, depth + 1):
            padding = dilation if padded else 0
            conv = Conv2d(channels, width, kernel_size=3, padding=padding, dilation=dilation, rng=rng)
            net.add(f"conv{stage}_{k}", conv)
            net.add(f"relu{stage}_{k}", ReLU())
            channels = width
        if stage <= len(pools):
            net.add(f"pool{stage}", pools[stage - 1]())
    return channels
