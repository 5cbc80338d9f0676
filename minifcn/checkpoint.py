"""Checkpoints: one .npz file with everything that is needed to predict, and to train on.

Arrays lie in it as "params/conv1_1.weight", "state/…" and "optimizer/…"; the rest — the recipe of the network, the
class names, the mean, the step, the history — is JSON under "meta". Nothing in it is ever executed (no pickles).
"""

import json
import os
import tokenize
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minifcn.errors import InputError
from minifcn.files import replacing
from minifcn.network import Network

FORMAT = 1


@dataclass
class Checkpoint:
    """A trained network at rest.

    `recipe` rebuilds the network (models.build), `params` are its parameters by name, `state` what its layers
    remember from training. `mean`, `std` and `channels` are what its images were normalised with
    (data.Preprocessing). `optimizer` and `progress` are there in last.npz only: training goes on from them.
    """

    recipe: dict[str, Any]
    params: dict[str, np.ndarray]
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: float | tuple[float, ...]
    channels: str = "RGB"
    optimizer: dict[str, np.ndarray] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)
    state: dict[str, np.ndarray] = field(default_factory=dict)

    def save(self, path: str | os.PathLike) -> None:
        """Write the file; at no moment is there half a file under its name. OSError if it cannot be written."""
        meta = {
            "format": FORMAT,
            "recipe": self.recipe,
            "class_names": list(self.class_names),
            "mean": list(self.mean),
            "std": self.std,
            "channels": self.channels,
            "progress": self.progress,
        }
        arrays = {f"params/{name}": array for name, array in self.params.items()}
        arrays |= {f"state/{name}": array for name, array in self.state.items()}
        arrays |= {f"optimizer/{name}": array for name, array in self.optimizer.items()}
        with replacing(path) as file:
            np.savez(file, allow_pickle=False, meta=np.array(json.dumps(meta)), **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Checkpoint":
        """Read the file. InputError, with the reason, if it is missing, cut off, or not a checkpoint."""
        if os.path.isfile(path) and not zipfile.is_zipfile(path):
            raise InputError(f"{path} is not a whole .npz file")
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            meta = json.loads(str(arrays.pop("meta")))
            if meta["format"] != FORMAT:
                raise InputError(f"{path} has checkpoint format {meta['format']}; expected {FORMAT}")
            groups: dict[str, dict[str, np.ndarray]] = {"params": {}, "state": {}, "optimizer": {}}
            for name, array in arrays.items():
                group, _, name = name.partition("/")
                groups[group][name] = array
            saved = cls(
                recipe=meta["recipe"],
                class_names=tuple(meta["class_names"]),
                mean=tuple(meta["mean"]),
                std=tuple(meta["std"]) if isinstance(meta["std"], list) else meta["std"],
                channels=meta["channels"],
                progress=meta["progress"],
                **groups,
            )
            saved._check()
            return saved
        except FileNotFoundError:
            raise InputError(f"{path}: no such checkpoint") from None
        except InputError:
            raise
        except KeyError as error:
            raise InputError(f"{path} has no {error}: it is not a checkpoint of minifcn") from None
        except (OSError, ValueError, TypeError, AttributeError, EOFError) as error:
            raise InputError(f"{path} is not a whole checkpoint of minifcn: {error}") from None
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, tokenize.TokenError) as error:
            raise InputError(f"{path} is cut off or damaged: {error}") from None

    def _check(self) -> None:
        """ValueError unless the numbers and names can be what they are meant to be."""
        scale = self.std if isinstance(self.std, tuple) else (self.std,)
        if len(self.mean) != 3 or not all(np.isfinite(self.mean)):
            raise ValueError(f"mean is {self.mean}; expected three numbers")
        if len(scale) not in (1, 3) or not all(0 < s < np.inf for s in scale):
            raise ValueError(f"std is {self.std}; expected one or three positive numbers")
        if self.channels not in ("RGB", "BGR"):
            raise ValueError(f"channels is {self.channels!r}; expected RGB or BGR")
        names = len(self.class_names)
        one_for_two = names == 2 and self.recipe.get("classes") == 1  # a score that tells two classes apart
        if self.recipe.get("classes", names) != names and not one_for_two:
            raise ValueError(f"{self.recipe['classes']} classes have the names {', '.join(self.class_names)}")

    def restore(self, net: Network, path: str | os.PathLike) -> None:
        """Put parameters and state into `net`. InputError with what differs; `path` is for the message."""
        try:
            net.load_params(self.params)
            net.load_state(self.state)
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None
