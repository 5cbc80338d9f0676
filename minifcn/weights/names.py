"""Which tensor of theirs is which parameter of ours.

Our layers have the names of the original networks, so the tensors of Caffe's VGG16, CaffeNet and FCNs and of
pytorch-fcn are called as ours; torchvision counts its layers. Which names a file has tells where it comes from, and
that tells what images it wants:

* Caffe and pytorch-fcn: blue, green, red, from 0 to 255, less the mean of ImageNet.
* torchvision: red, green, blue, less the mean and divided by the deviation of each channel.
* milesial/Pytorch-UNet: red, green, blue, from 0 to 1.

Names do not tell everything. The FCN-8s trained "at once" scales pool3 and pool4 before it scores them: Caffe's
has layers for that, which are not ours, and is refused; pytorch-fcn's has the names of the plain one.
vgg16_from_caffe.pth of pytorch-fcn has torchvision's names, but wants Caffe's images. Networks for other data than
VOC (NYUD, say) want another mean. torchvision's AlexNet is another network than CaffeNet, which ours is: 64, 192,
384, 256 and 256 channels, no groups. Its tensors are found by name, and then have the wrong shapes.

Sources: torchvision.models (vgg16, alexnet), the BVLC and VGG model zoo of Caffe, the released voc-fcn networks,
wkentaro/pytorch-fcn, milesial/Pytorch-UNet.
"""

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

CAFFE = {"mean": (104.00698793, 116.66876762, 122.67891434), "std": 1.0, "channels": "BGR"}
TORCHVISION = {
    "mean": tuple(255 * mean for mean in (0.485, 0.456, 0.406)),
    "std": tuple(255 * std for std in (0.229, 0.224, 0.225)),
    "channels": "RGB",
}

TORCHVISION_VGG16 = {
    "conv1_1": "features.0",
    "conv1_2": "features.2",
    "conv2_1": "features.5",
    "conv2_2": "features.7",
    "conv3_1": "features.10",
    "conv3_2": "features.12",
    "conv3_3": "features.14",
    "conv4_1": "features.17",
    "conv4_2": "features.19",
    "conv4_3": "features.21",
    "conv5_1": "features.24",
    "conv5_2": "features.26",
    "conv5_3": "features.28",
    "fc6": "classifier.0",
    "fc7": "classifier.3",
    "fc8": "classifier.6",
}
TORCHVISION_ALEXNET = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "fc8": "classifier.6",
}


def _milesial() -> dict[str, str]:
    """inc, down1 … down4, up1 … up4, outc: ours are numbered by the level, whichever way the path leads."""
    names = {"score": "outc.conv"}
    for level in range(1, 6):
        down = f"down{level - 1}.maxpool_conv.1" if level > 1 else "inc"
        for path, theirs in (("", down), ("up", f"up{5 - level}.conv")):
            for k, (conv, norm) in ((1, (0, 1)), (2, (3, 4))):
                names[f"{path}conv{level}_{k}"] = f"{theirs}.double_conv.{conv}"
                names[f"{path}bn{level}_{k}"] = f"{theirs}.double_conv.{norm}"
        names[f"up{level}"] = f"up{5 - level}.up"
    return {ours: theirs for ours, theirs in names.items() if not theirs.startswith("up0")}


MILESIAL = _milesial()
VGG16 = {name: name for name in TORCHVISION_VGG16}
CAFFENET = {name: name for name in TORCHVISION_ALEXNET}

# Of ours: the head of an FCN, which coarser FCNs have not, and the context module, which front ends have not.
NEW = ("score_*", "upscore*", "ct_*")
# Of theirs: what a network for segmentation has no use for, or a finer FCN, and a counter that PyTorch keeps.
LEFT_OVER = ("fc[678].*", "upscore*", "*.num_batches_tracked")
# Of ours: DeepLab's branches, which start as VGG16's fc6 and fc7, with fewer taps and channels.
THINNED = ("fc[67]_[0-9].*",)


@dataclass(frozen=True)
class NameMap:
    """Their names of our layers, and what they say about the file.

    Layers that are not in `layers` have one name in both worlds. `preprocessing` are the arguments of
    data.Preprocessing, None if the names do not tell; `kind` is the format that the names mean this in, None for
    any.
    """

    title: str
    layers: dict[str, str]
    preprocessing: dict[str, Any] | None
    kind: str | None = None

    def fits(self, names: Collection[str], kind: str) -> bool:
        """Whether a file of this kind has all convolutions and scores; fully connected layers may be missing."""
        marks = {theirs for ours, theirs in self.layers.items() if not ours.startswith("fc")}
        return self.kind in (None, kind) and marks.issubset(name.rpartition(".")[0] for name in names)

    def theirs(self, name: str) -> str:
        """Their name of our parameter.

        >>> MAPS[0].theirs("conv1_2.bias"), MAPS[0].theirs("score_fr.bias")
        ('features.2.bias', 'score_fr.bias')
        """
        layer, _, key = name.rpartition(".")
        return f"{self.layers.get(layer, layer)}.{key}"

    def thinned(self, name: str) -> str | None:
        """Their name of the parameter that ours is a thinned copy of (layouts.thinned), if it is one.

        >>> MAPS[0].thinned("fc6_2.weight")
        'classifier.0.weight'
        """
        layer, _, key = name.rpartition(".")
        whole = layer.partition("_")[0]
        return self.theirs(f"{whole}.{key}") if _matches(name, THINNED) and whole in self.layers else None

    def may_be_missing(self, name: str) -> bool:
        """Whether our parameter may be new: it then stays as the model has made it.

        Files of one's own names may lack the heads; those of others, whatever their network does not have.
        """
        return _matches(name, NEW) or (bool(self.layers) and name.rpartition(".")[0] not in self.layers)

    def may_be_left_over(self, theirs: str) -> bool:
        """Whether a tensor of theirs need not have a place in our network."""
        layer, _, key = theirs.rpartition(".")
        ours = {theirs: ours for ours, theirs in self.layers.items()}
        return _matches(f"{ours.get(layer, layer)}.{key}", LEFT_OVER)


MAPS = (
    NameMap("VGG16 of torchvision", TORCHVISION_VGG16, TORCHVISION),
    NameMap("AlexNet of torchvision", TORCHVISION_ALEXNET, TORCHVISION),
    NameMap("VGG16 of Caffe", VGG16, CAFFE, "Caffe"),
    NameMap("CaffeNet", CAFFENET, CAFFE, "Caffe"),
    NameMap("U-Net of milesial", MILESIAL, {"mean": (0.0, 0.0, 0.0), "std": 255.0, "channels": "RGB"}),
    NameMap("pytorch-fcn", {**VGG16, "score_fr": "score_fr"}, CAFFE, "PyTorch"),
)
OWN = NameMap("the network's own names", {}, None)


def recognize(names: Collection[str], kind: str) -> NameMap:
    """The map for a file of format `kind` with tensors of these names.

    >>> recognize([f"{layer}.weight" for layer in VGG16], "Caffe").title
    'VGG16 of Caffe'
    """
    return next((found for found in MAPS if found.fits(names, kind)), OWN)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
