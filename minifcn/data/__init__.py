"""Images and labels: reading, checking, changing and batching them."""

from minifcn.data.augment import AUGMENTATIONS
from minifcn.data.batches import batch
from minifcn.data.border_weights import BorderWeighted, WithInstances, border_weights
from minifcn.data.buildings import Buildings
from minifcn.data.cells import Cells
from minifcn.data.class_weights import CLASS_WEIGHTS
from minifcn.data.dataset import Dataset, channel_statistics
from minifcn.data.images import read_image, read_labels
from minifcn.data.lines import Lines
from minifcn.data.palette import voc_palette, write_label_png
from minifcn.data.preprocessing import Preprocessing
from minifcn.data.readers import FORMATS, open_folder
from minifcn.data.shapes import Shapes
from minifcn.data.toys import TOYS

__all__ = [
    "AUGMENTATIONS",
    "CLASS_WEIGHTS",
    "FORMATS",
    "TOYS",
    "BorderWeighted",
    "Buildings",
    "Cells",
    "Dataset",
    "Lines",
    "Preprocessing",
    "Shapes",
    "WithInstances",
    "batch",
    "border_weights",
    "channel_statistics",
    "open_folder",
    "read_image",
    "read_labels",
    "voc_palette",
    "write_label_png",
]
