"""PASCAL VOC 2012 (Everingham et al.), 20 classes and background; and what others add to it.

JPEGImages/*.jpg
SegmentationClass/*.png                         palette pictures; 255 around each object
ImageSets/Segmentation/train.txt, val.txt       stems, one a line
SegmentationClassAug/*.png                      if it is there, with
ImageSets/Segmentation/trainaug.txt             the 10,582 training images of VOC and SBD together
classes.txt                                     names of other classes than VOC's, one a line
"""

from pathlib import Path

from minifcn.data.folder import Folder, checked
from minifcn.data.listing import pictures, read_split
from minifcn.data.palette import VOC_CLASS_NAMES
from minifcn.data.readers.plain import read_class_names

LAYOUT = "JPEGImages/ and SegmentationClass/ (PASCAL VOC)"


def recognises(root: Path) -> bool:
    return (root / "JPEGImages").is_dir() and (root / "SegmentationClass").is_dir()


def read(root: Path) -> tuple[Folder, Folder]:
    images, masks = pictures(root / "JPEGImages"), pictures(root / "SegmentationClass")
    lists, more = root / "ImageSets" / "Segmentation", masks
    training_list = lists / "train.txt"
    if (lists / "trainaug.txt").exists() and (root / "SegmentationClassAug").is_dir():
        training_list, more = lists / "trainaug.txt", pictures(root / "SegmentationClassAug")
    training = {stem: (images[stem], more[stem]) for stem in read_split(training_list, images, more)}
    validation = {stem: (images[stem], masks[stem]) for stem in read_split(lists / "val.txt", images, masks)}
    return checked(root, training, validation, read_class_names(root / "classes.txt") or VOC_CLASS_NAMES)
