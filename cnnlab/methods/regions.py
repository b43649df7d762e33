"""A tensor that stands for P maps and computes only where they differ from the map of the whole picture.

Type: model(Region) -> what the model makes of P pictures. It goes through the model's own code in place of a
batch: every torch function that meets it is looked up in `reach.RULES`. Where there is no rule, or the region
has become most of the map, it turns into the P whole maps, and from there on everything is as usual. So
nothing is known about the model, and what has no rule is slower but never wrong.
"""

import functools
import inspect
from collections.abc import Callable

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from cnnlab.methods.patches import Patches
from cnnlab.methods.reach import IN_PLACE, RULES, Path


class _Held:
    """What a Region stands for: patches, or after them whole maps. What works in place changes it."""

    def __init__(self, path: Path, patches: Patches):
        self.path, self.patches = path, patches
        self.maps: Tensor | None = None

    def whole(self) -> Tensor:
        """(P, C, H, W); all who ask get the same tensor, so that one sees what another does in place."""
        if self.maps is None:
            self.maps = self.patches.whole()
        return self.maps


class Region(Tensor):
    """P maps in the shape (P, C, H, W), without memory of their own.

    Args:
        path: of the passes over one picture.
        patches: the maps.
    """

    held: _Held

    @staticmethod
    def __new__(cls, path: Path, patches: Patches):
        shape = (len(patches.values), *patches.base.shape[1:])
        base = patches.base
        region = Tensor._make_wrapper_subclass(cls, shape, dtype=base.dtype, device=base.device)
        region.held = _Held(path, patches)
        return region

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):  # noqa: ARG003
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            regions = list(_regions((args, kwargs)))
            still = all(region.held.maps is None for region in regions)
            if still and func in _QUESTIONS:
                return func(*args, **kwargs)
            if func is Tensor.detach and still:
                same = Region(regions[0].held.path, regions[0].held.patches)
                same.held = regions[0].held
                return same
            if still and (found := _followed(func, args, kwargs, regions)) is not None:
                return found
            args, kwargs = _mapped((args, kwargs), lambda region: region.held.whole())
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):  # noqa: ARG003
        # A function that did not announce itself. It must not compute with a tensor that has no memory.
        raise TypeError(f"it calls {func} in a way that cannot be followed")


class Watch(TorchFunctionMode):
    """Inside the block, what a pass costs, and whether it looks at numbers to decide how to go on.

    Attributes:
        products: multiplications of numbers with weights.
        largest: numbers in the largest tensor.
        cells: numbers in all tensors.
        asked: the first function by which a number left the tensors (`if x.sum() > 0:`), or "".
    """

    def __init__(self):
        super().__init__()
        self.products = self.largest = self.cells = 0
        self.asked = ""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # noqa: ARG002
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if func in _ASKS:
            self.asked = self.asked or func.__name__
        if isinstance(output, Tensor):
            with torch._C.DisableTorchFunction():
                followed = isinstance(output, Region) and output.held.maps is None
                size = (output.held.patches.values if followed else output).numel()
                self.largest = max(self.largest, size)
                self.cells += 0 if followed else size  # the path counts those that are followed
                if func in _WEIGHED:
                    weight = args[1] if len(args) > 1 else kwargs["weight"]
                    self.products += size * weight[0].numel()
        return output


_QUESTIONS = {
    getattr(Tensor, name).__get__
    for name in "shape dtype device ndim layout requires_grad is_cuda is_leaf is_sparse is_quantized".split()
} | {getattr(Tensor, name) for name in "size dim numel nelement is_floating_point is_complex __len__".split()}
_COPIES = {torch.clone, Tensor.clone}
_ASKS = {
    getattr(home, name)
    for name in "__bool__ __int__ __float__ __index__ item tolist numpy equal allclose is_nonzero".split()
    for home in (torch, Tensor)
    if hasattr(home, name)
}
_WEIGHED = {torch.conv2d, torch.nn.functional.linear, torch.nn.functional.conv2d}


def _followed(func: Callable, args: tuple, kwargs: dict, regions: list[Region]) -> Region | None:
    """What a call makes of regions, if there is a rule for it and the result is worth it."""
    func, args, kwargs, in_place = _not_in_place(func, args, kwargs)
    rule, path = RULES.get(func), regions[0].held.path
    if rule is None:
        return None
    given, named = _mapped((args, kwargs), lambda region: region.held.patches)
    try:
        bound = _signature(rule).bind(path, func, *given, **named)
    except TypeError:  # an option of torch that the rule does not take
        return None
    if "input" in bound.arguments and not (
        isinstance(bound.arguments["input"], Patches) and len(regions) == 1
    ):
        return None  # a filter that depends on the picture
    result = rule(*bound.args, **bound.kwargs)
    if result is None:
        return None
    old = regions[0]
    if in_place:
        fits = (
            args[0] is old
            and result.base.shape == old.held.patches.base.shape
            and result.base.dtype == old.dtype
        )
        if not fits:
            return None
        old.held.patches = result
        return old
    return old if result is old.held.patches and func not in _COPIES else Region(path, result)


def _not_in_place(func: Callable, args: tuple, kwargs: dict) -> tuple[Callable, tuple, dict, bool]:
    """The call that gives the same result as a new tensor; and whether that was another one."""
    if func in IN_PLACE:
        return IN_PLACE[func], args, kwargs, True
    place = _inplace(func)
    if kwargs.get("inplace"):
        return func, args, {**kwargs, "inplace": False}, True
    if place is not None and len(args) > place and args[place]:
        return func, (*args[:place], False, *args[place + 1 :]), kwargs, True
    return func, args, kwargs, False


_signature = functools.cache(inspect.signature)


@functools.cache
def _inplace(func: Callable) -> int | None:
    """Which argument says whether it works in place, as that of F.relu."""
    try:
        names = list(inspect.signature(func).parameters)
    except (TypeError, ValueError):  # a builtin
        return None
    return names.index("inplace") if "inplace" in names else None


def _regions(value: object):
    if isinstance(value, Region):
        yield value
    elif isinstance(value, dict):
        yield from _regions(list(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _regions(part)


def _mapped(value: object, change: Callable[[Region], object]) -> object:
    """The same nested arguments, with something else for each Region."""
    if isinstance(value, Region):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(part, change) for key, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_mapped(part, change) for part in value)
    return value
