"""Images and their labels: toy shapes, your own folder, batches for training."""

from minifcn.data.batches import batch
from minifcn.data.dataset import Dataset, channel_statistics
from minifcn.data.folder import open_folder
from minifcn.data.images import read_image, read_labels
from minifcn.data.palette import voc_palette, write_label_png
from minifcn.data.shapes import Shapes

__all__ = [
    "Dataset",
    "Shapes",
    "batch",
    "channel_statistics",
    "open_folder",
    "read_image",
    "read_labels",
    "voc_palette",
    "write_label_png",
]
