"""One picture with every window covered in turn, as whole pictures or as regions of the one picture.

Type: numbers of windows -> (P, C, H, W), a tensor or a `Region`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from cnnlab.methods.patches import Patches
from cnnlab.methods.regions import Region
from cnnlab.methods.sliding import Kept
from cnnlab.methods.windows import Windows


class Covering(NamedTuple):
    """What is covered, where, and by what.

    Attributes:
        windows: for this picture.
        image, fill: (1, C, H, W), the picture, and the picture that the windows show instead.
    """

    windows: Windows
    image: Tensor
    fill: Tensor

    def laid_out(self, layout: torch.memory_format) -> "Covering":
        """The same in copies that lie in memory in this way."""
        image, fill = (part.detach().clone(memory_format=layout) for part in self[1:])
        return Covering(self.windows, image, fill)

    def changing(self) -> Tensor:
        """(windows,) which windows change the picture; the others cover what looks like the fill."""
        return self.windows.meet((self.image != self.fill).any(dim=1)[0]).cpu()

    def telling(self, changing: Tensor) -> Tensor:
        """(2 or 3,) windows on which to try a model; the first is near the middle of the grid.

        The others cover what is brighter, and what is darker than all of the fill. So a model that compares
        the pictures of a batch, or asks how bright they are, answers otherwise to them than alone. They are
        different, if there are two that change the picture.

        Args:
            changing: (windows,) as above; at least one does.
        """
        bright, dark = self.image.amax(dim=1)[0], self.image.amin(dim=1)[0]
        places = [bright.argmax()] if bright.max() > self.fill.max() else []
        places += [dark.argmin()] if dark.min() < self.fill.min() else []
        if not places:  # a fill with both
            places = [(self.image - self.fill).abs().amax(dim=1).argmax()]
        most = list({self.windows.over(*divmod(int(place), bright.shape[1])): None for place in places})
        rows, cols = self.windows.grid
        away = (torch.arange(rows * cols) - (rows // 2 * cols + cols // 2)).abs()
        away[~changing] += rows * cols
        away[most] += 2 * rows * cols
        return torch.tensor([int(away.argmin()), *most])

    def pictures(self, numbers: Tensor) -> Tensor:
        """(P,) windows -> (P, C, H, W), in the layout of the picture."""
        return self.windows.covered(self.image, self.fill, numbers)

    def regions(self, kept: Kept, numbers: Tensor, kinds: Tensor) -> Region:
        """(P,) windows -> the same pictures, to be computed where they differ; sorted by kind.

        Args:
            kept: for all passes over this picture.
            kinds: (windows,) those of one kind make a group: their regions are to be about as large.
        """
        kept.begin()
        found = kinds[numbers]
        return Region(kept, [self._patches(numbers[found == kind]) for kind in found.unique()])

    def _patches(self, numbers: Tensor) -> Patches:
        """In each patch the window, and where it was cut at the border some picture."""
        (rows, cols), picture = self.windows.size, self.windows.picture
        top, left = self.windows.places(numbers.to(self.image.device))
        first = top.clamp(max=picture[0] - rows), left.clamp(max=picture[1] - cols)
        before, over = (_pieces(part, *first, rows, cols) for part in (self.image, self.fill))
        down, right = (torch.arange(n, device=top.device) for n in (rows, cols))
        inside = (down >= (top - first[0])[:, None])[:, None, :, None]
        inside = inside & (right >= (left - first[1])[:, None])[:, None, None, :]
        return Patches(self.image, torch.where(inside, over, before), *(tuple(i.tolist()) for i in first))


def _pieces(picture: Tensor, top: Tensor, left: Tensor, rows: int, cols: int) -> Tensor:
    """(1, C, H, W) -> (P, C, rows, cols), a piece of it from each place on."""
    down = top[:, None] + torch.arange(rows, device=top.device)  # (P, rows)
    right = left[:, None] + torch.arange(cols, device=top.device)  # (P, cols)
    channels_last = picture[0].permute(1, 2, 0)[down[:, :, None], right[:, None, :]]  # (P, rows, cols, C)
    return channels_last.permute(0, 3, 1, 2)
