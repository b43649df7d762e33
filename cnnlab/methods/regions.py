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
from cnnlab.methods.reach import IN_PLACE, RULES
from cnnlab.methods.sliding import Path


class _Held:
    """What a Region stands for: groups of patches, or later whole maps. What works in place changes it."""

    def __init__(self, path: Path, groups: list[Patches]):
        self.path, self.groups = path, groups
        self.maps: Tensor | None = None

    @property
    def base(self) -> Tensor:
        return self.groups[0].base

    def whole(self) -> Tensor:
        """(P, C, H, W); all who ask get the same tensor, so that one sees what another does in place."""
        if self.maps is None:
            self.maps = torch.cat([patches.whole() for patches in self.groups])
        return self.maps


class Region(Tensor):
    """P maps in the shape (P, C, H, W), without memory of their own.

    Args:
        path: of the passes over one picture.
        groups: the maps, of one base; in each group all patches have one size.
    """

    held: _Held

    @staticmethod
    def __new__(cls, path: Path, groups: list[Patches]):
        base = groups[0].base
        shape = (sum(len(patches.values) for patches in groups), *base.shape[1:])
        region = Tensor._make_wrapper_subclass(cls, shape, dtype=base.dtype, device=base.device)
        region.held = _Held(path, groups)
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
                same = Region(regions[0].held.path, regions[0].held.groups)
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
        calls: of functions that make tensors.
        products: multiplications of numbers with weights.
        largest: numbers in the largest tensor.
        cells: numbers in all tensors.
        asked: the first function by which a number left the tensors (`if x.sum() > 0:`), or "".
    """

    def __init__(self):
        super().__init__()
        self.calls = self.products = self.largest = self.cells = 0
        self.asked = ""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # noqa: ARG002
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if func in _ASKS:
            self.asked = self.asked or func.__name__
        if isinstance(output, Tensor):
            self.calls += 1
            with torch._C.DisableTorchFunction():
                followed = isinstance(output, Region) and output.held.maps is None
                size = sum(part.values.numel() for part in output.held.groups) if followed else output.numel()
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
    old = regions[0]
    path.call(func, [region.held.base for region in regions])
    results = []
    for group in range(len(old.held.groups)):
        given, named = _mapped((args, kwargs), lambda region: region.held.groups[group])  # noqa: B023
        try:
            bound = _signature(rule).bind(path, func, *given, **named)
        except TypeError:  # an option of torch that the rule does not take
            return None
        first = bound.arguments.get("input")
        if first is not None and not (isinstance(first, Patches) and len(regions) == 1):
            return None  # a filter that depends on the picture
        results.append(rule(*bound.args, **bound.kwargs))
        if results[-1] is None:
            return None
    if in_place:
        base = results[0].base
        if args[0] is not old or base.shape != old.held.base.shape or base.dtype != old.dtype:
            return None
        old.held.groups = results
        return old
    same = all(one is other for one, other in zip(results, old.held.groups, strict=True))
    return old if same and func not in _COPIES else Region(path, results)


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
