"""Oxford-IIIT Pet (Parkhi et al., 2012): cats and dogs, about 3,680 images to learn from and 3,669 to test on.

    images/Abyssinian_1.jpg …
    annotations/trimaps/Abyssinian_1.png …              1 pet, 2 background, 3 not sure
    annotations/trainval.txt, annotations/test.txt      a name and three numbers in each line

Here a pet is 1, the background 0, and where it is not sure, along the outline, does not count.
"""

from pathlib import Path

from minifcn.data.folder import Folder, checked
from minifcn.data.listing import pictures, read_split
from minifcn.data.recode import recoded

LAYOUT = "images/ and annotations/trimaps/ (Oxford-IIIT Pet)"


def recognises(root: Path) -> bool:
    return (root / "images").is_dir() and (root / "annotations" / "trimaps").is_dir()


def read(root: Path) -> tuple[Folder, Folder]:
    lists = root / "annotations"
    images, masks = pictures(root / "images"), pictures(lists / "trimaps")
    training, validation = (
        {stem: (images[stem], masks[stem]) for stem in read_split(lists / name, images, masks, _name)}
        for name in ("trainval.txt", "test.txt")
    )
    labels = recoded({1: 1, 2: 0, 3: 255}, "1 pet, 2 background, 3 not sure")
    return checked(root, training, validation, ("background", "pet"), labels)


def _name(line: str) -> str:
    """The first word; lines that start with # are comments."""
    words = line.split()
    return words[0] if words and not line.startswith("#") else ""
