"""Images and labels: reading, checking, changing and batching them."""

from minifcn.data.augment import AUGMENTATIONS
from minifcn.data.batches import batch
from minifcn.data.border_weights import BorderWeighted, Cells, border_weights
from minifcn.data.class_weights import CLASS_WEIGHTS
from minifcn.data.dataset import Dataset, channel_statistics
from minifcn.data.folder import open_folder
from minifcn.data.images import read_image, read_labels
from minifcn.data.palette import voc_palette, write_label_png
from minifcn.data.preprocessing import Preprocessing
from minifcn.data.shapes import Shapes

__all__ = [
    "AUGMENTATIONS",
    "CLASS_WEIGHTS",
    "BorderWeighted",
    "Cells",
    "Dataset",
    "Preprocessing",
    "Shapes",
    "batch",
    "border_weights",
    "channel_statistics",
    "open_folder",
    "read_image",
    "read_labels",
    "voc_palette",
    "write_label_png",
]
