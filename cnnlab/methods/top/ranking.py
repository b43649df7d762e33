"""The k strongest positions of every channel: how two rankings become one, and the file in which they lie.

Type: (ranking, ranking) -> ranking. The order is total: the higher value first; of equal ones the lower
image, then the lower row, then the lower column. So the answer does not depend on who saw which part.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cnnlab.nets import weight_files

_FORMAT = "cnnlab top 1"
_TENSORS = ("values", "image_index", "row", "col")


class Top(NamedTuple):
    """The k strongest positions of each of C channels, the strongest first.

    A part of a larger scan may hold fewer than k: then the rest is empty, with value -inf and -1 elsewhere.

    Attributes:
        values: (C, k) activations.
        image_index: (C, k) int64, the number of the image.
        row, col: (C, k) int64, the position on the feature map; 0 for a layer without maps.
        layer: its name.
        seen: how many images were scanned.
        per_image: how many positions one image could give.
    """

    values: Tensor
    image_index: Tensor
    row: Tensor
    col: Tensor
    layer: str
    seen: int
    per_image: int = 1

    def merge(self, other: "Top") -> "Top":
        """The ranking over the images of both, exactly as one scan over all of them gives it.

        Args:
            other: of the same layer, k and per_image, over other images in the same numbering: of a scan
                over a second tensor take `other.shifted(100)` if the first had 100 images.

        Raises:
            ValueError: the two do not fit together, or an image is in both.
        """
        for what in ("layer", "per_image"):
            if getattr(self, what) != getattr(other, what):
                mine, theirs = getattr(self, what), getattr(other, what)
                raise ValueError(f"two rankings of one {what} are merged, not {mine!r} and {theirs!r}")
        if self.values.shape != other.values.shape or self.values.dtype != other.values.dtype:
            mine, theirs = (f"{tuple(top.values.shape)} {top.values.dtype}" for top in (self, other))
            raise ValueError(f"two rankings of one shape (C, k) and type are merged, not {mine} and {theirs}")
        both = self.image_index[:, :, None] == other.image_index[:, None, :]  # (C, k, k)
        both &= other.image_index[:, None, :] >= 0
        if both.any():
            number = int(self.image_index[both.any(dim=2)][0])
            raise ValueError(
                f"image {number} is in both rankings. If they are of two sets of images that are both "
                "numbered from 0, merge with other.shifted(number of images of the first)"
            )
        parts = [torch.cat(pair, dim=1) for pair in zip(self[:4], other[:4], strict=True)]  # (C, 2k)
        for key in (3, 2, 1, 0):  # a stable sort keeps, among equals, the order of the sorts before it
            order = parts[key].sort(dim=1, descending=key == 0, stable=True).indices
            parts = [part.gather(1, order) for part in parts]
        k = self.values.shape[1]
        kept = [part[:, :k].contiguous() for part in parts]
        return self._replace(**dict(zip(_TENSORS, kept, strict=True)), seen=self.seen + other.seen)

    def shifted(self, by: int) -> "Top":
        """The same, with every image's number raised by this much."""
        moved = torch.where(self.image_index >= 0, self.image_index + by, self.image_index)
        if (moved < -1).any() or ((moved < 0) & (self.image_index >= 0)).any():
            raise ValueError(f"shifted by {by}, an image would have a number below 0")
        return self._replace(image_index=moved)

    def ranks(self, first: int, count: int) -> "Top":
        """A piece of the ranking: of every channel the positions from `first` on, 0 is the strongest.

        Raises:
            ValueError: it has not so many positions.
        """
        if not 0 <= first < first + count <= self.values.shape[1]:
            raise ValueError(f"ranks {first} to {first + count - 1} of {self.values.shape[1]} do not exist")
        part = {name: getattr(self, name)[:, first : first + count] for name in _TENSORS}
        return self._replace(**part)

    def full(self) -> bool:
        """Has every channel its k positions?"""
        return bool((self.image_index >= 0).all())

    def write(self, path: str | Path, about: Mapping[str, str] | None = None) -> None:
        """Keep it in a safetensors file, written whole or not at all, with a hash of what is in it.

        Args:
            path: the file.
            about: more words to keep with it.

        Raises:
            OSError: it cannot be written.
        """
        words = {"format": _FORMAT, "layer": self.layer, "seen": str(self.seen)}
        words |= {"per_image": str(self.per_image), **(about or {})}
        tensors = dict(zip(_TENSORS, (part.cpu() for part in self[:4]), strict=True))
        weight_files.write(Path(path), tensors, {**words, "sha256": _hash(tensors, words)})

    @staticmethod
    def read(path: str | Path, about: Mapping[str, str] | None = None) -> "Top":
        """What `write` kept, checked.

        Args:
            path: the file.
            about: words that must be in it.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it is damaged, or no ranking, or not about this.
        """
        from safetensors.torch import load

        data = Path(path).read_bytes()
        try:
            words = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
            tensors = load(data)
            told = words.pop("sha256")
        except Exception as error:  # safetensors and json have a dozen ways to say it
            raise OSError(f"{path} is no ranking, or a damaged one ({error}). Scan again") from error
        wrong = [key for key, value in (about or {}).items() if words.get(key) != value]
        if words.get("format") != _FORMAT or told != _hash(tensors, words) or wrong:
            raise OSError(f"{path} was altered, or is about something else. Scan again")
        parts = (tensors[name] for name in _TENSORS)
        return Top(*parts, words["layer"], int(words["seen"]), int(words["per_image"]))


def nothing(channels: int, k: int, layer: str, per_image: int, like: Tensor) -> Top:
    """The ranking of no images at all, with the type and device of `like`."""
    values = torch.full((channels, k), -torch.inf, dtype=like.dtype, device=like.device)
    none = [torch.full((channels, k), -1, device=like.device) for _ in range(3)]
    return Top(values, *none, layer, 0, per_image)


def _hash(tensors: Mapping[str, Tensor], words: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
