"""Units and layers by name: what there is in a network, and how large what comes out of it is.

Type: (model) -> names; (model, name) -> module; (model, image) -> shapes. A unit is one channel of one layer,
at one position of its feature map or anywhere on it.
"""

from operator import index
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.errors import unknown


class Unit(NamedTuple):
    """One channel of a layer, at one position (row, col) of its feature map, or (None, None): the whole map.

    Attributes:
        layer: the name of the layer in the model.
        channel: from 0.
        row, col: a position on the feature map, from 0; both or neither.

    >>> print(Unit("conv2", 7, 3, 4))
    conv2, channel 7 at row 3, col 4
    """

    layer: str
    channel: int
    row: int | None = None
    col: int | None = None

    def __str__(self) -> str:
        position = "" if self.row is None else f" at row {self.row}, col {self.col}"
        return f"{self.layer}, channel {self.channel}{position}"

    def activation(self, activations: Tensor) -> Tensor:
        """The activation of this unit, out of what its layer put out; gradients flow through.

        Args:
            activations: (N, C, rows, cols) or (N, C), the output of the layer.

        Returns:
            (N,) at one position or for a layer without positions; (N, rows, cols) for a whole map.

        Raises:
            ValueError: if the layer has no such channel or position.
        """
        if activations.dim() not in (2, 4):
            given = tuple(activations.shape)
            raise ValueError(f"{self.layer} must put out (N, C) or (N, C, H, W), not {given}")
        if (self.row is None) != (self.col is None):
            raise ValueError(f"a position needs row and col: row is {self.row}, col is {self.col}")
        wanted = [("channel", self.channel)]
        if self.row is not None:
            if activations.dim() == 2:
                raise ValueError(
                    f"{self.layer} has no rows and columns (shape {tuple(activations.shape)}); "
                    f"ask for Unit({self.layer!r}, {self.channel})"
                )
            wanted += [("row", self.row), ("col", self.col)]
        position = [slice(None)]
        for (axis, given), size in zip(wanted, activations.shape[1:], strict=False):
            try:
                number = -1 if isinstance(given, bool) else index(given)
            except TypeError:
                number = -1
            if not 0 <= number < size:
                raise ValueError(f"{self.layer} has no {axis} {given!r}: they go from 0 to {size - 1}")
            position.append(number)
        return activations[tuple(position)]


def unique_modules(model: nn.Module) -> list[nn.Module]:
    """All modules inside a network, itself first, each once: model.modules(), twice as fast.

    For what looks through them several times for each image.

    >>> shared = nn.ReLU()
    >>> [type(part).__name__ for part in unique_modules(nn.Sequential(nn.Linear(2, 2), shared, shared))]
    ['Sequential', 'Linear', 'ReLU']
    """
    found: dict[nn.Module, None] = {}
    waiting = [model]
    while waiting:
        part = waiting.pop()
        if part is not None and part not in found:
            found[part] = None
            waiting.extend(reversed(part._modules.values()))
    return list(found)


def layer(model: nn.Module, name: str) -> nn.Module:
    """The module with this name.

    Raises:
        LookupError: if there is none, with the nearest names and the whole list.
        TypeError: no model, or no name.

    >>> layer(nn.Sequential(nn.ReLU(), nn.Flatten()), "1")
    Flatten(start_dim=1, end_dim=-1)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"a model (torch.nn.Module) comes first, not {type(model).__name__}")
    if not isinstance(name, str):
        raise TypeError(f"a layer is named by its string in the model, not by a {type(name).__name__}")
    found = model
    for step in name.split("."):  # quicker than to list all names
        if step not in found._modules or found._modules[step] is None:
            raise unknown("layer", name, layers(model))
        found = found._modules[step]
    return found


def layers(model: nn.Module, kind: type | tuple[type, ...] = nn.Module) -> list[str]:
    """The names of all layers, in the order in which they were defined.

    Args:
        model: any network.
        kind: only layers of this class, such as nn.Conv2d.

    >>> layers(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)), nn.Conv2d)
    ['0', '2']
    """
    named = model.named_modules(remove_duplicate=False)
    return [name for name, module in named if name and isinstance(module, kind)]


def check_not_compiled(model: nn.Module) -> None:
    """Raises ValueError for a compiled or scripted model, or one with such a part: hooks do not run there.

    And TypeError for what is no model at all.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"a model (torch.nn.Module) comes first, not {type(model).__name__}")
    for name, module in model.named_modules():
        if (
            isinstance(module, torch.jit.ScriptModule)
            or hasattr(module, "_orig_mod")
            or getattr(module, "_compiled_call_impl", None) is not None
        ):
            raise ValueError(
                f"{repr(name) if name else 'the model'} is compiled or scripted: what runs "
                "inside cannot be seen or changed. Give the model as it was before."
            )
