"""A tensor that stands for P maps and computes only where they differ from the map of the whole image.

Type: model(RegionTensor) -> what the model makes of P images. It goes through the model's own code in place
of a batch: every torch function that meets it is looked up in `pointwise_rules.RULES`. Where there is no
rule, or the region has become most of the map, it turns into the P whole maps, and from there on everything
is as usual. So nothing need be known about the model, and what has no rule is slower. A rule may still be
wrong for a model that writes into a view of a map (`h[:, :3].mul_(2)`): the trial in `run_windows` guards
against that.
"""

import functools
import inspect
import operator
from collections.abc import Callable

import torch
from torch import Tensor

from cnnlab.methods.occlusion.incremental.patch_maps import PatchedMaps
from cnnlab.methods.occlusion.incremental.pointwise_rules import IN_PLACE, RULES
from cnnlab.methods.occlusion.incremental.window_rules import BaseCache
from cnnlab.methods.occlusion.windows import Windows


class _Storage:
    """What a RegionTensor stands for: groups of patches, later whole maps. In-position functions change
    it."""

    def __init__(self, cache: BaseCache, groups: list[PatchedMaps]):
        self.cache, self.groups = cache, groups
        self.maps: Tensor | None = None

    @property
    def base(self) -> Tensor:
        return self.groups[0].base

    def dense(self) -> Tensor:
        """(P, C, H, W); all who ask get the same tensor, so that one sees what another does in place."""
        if self.maps is None:
            maps = torch.cat([patches.dense() for patches in self.groups])
            self.maps = maps.contiguous(memory_format=self.cache.layout)
        return self.maps


class RegionTensor(Tensor):
    """P maps in the shape (P, C, H, W), without memory of their own.

    Args:
        cache: of the passes over one image; its layout is that of the whole maps.
        groups: the maps, of one base; in each group all patches have one size.
    """

    patch_storage: _Storage

    @staticmethod
    def __new__(cls, cache: BaseCache, groups: list[PatchedMaps]):
        base = groups[0].base
        shape = (sum(len(patches.top) for patches in groups), *base.shape[1:])
        region = Tensor._make_wrapper_subclass(cls, shape, dtype=base.dtype, device=base.device)
        region.patch_storage = _Storage(cache, groups)
        return region

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):  # noqa: ARG003
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            regions = list(_regions((args, kwargs)))
            still = all(region.patch_storage.maps is None for region in regions)
            if still and func in _QUESTIONS:
                return func(*args, **kwargs)
            if func is Tensor.detach and still:
                same = RegionTensor(regions[0].patch_storage.cache, regions[0].patch_storage.groups)
                same.patch_storage = regions[0].patch_storage
                return same
            if still and (found := _followed(func, args, kwargs, regions)) is not None:
                return found
            args, kwargs = _mapped((args, kwargs), lambda region: region.patch_storage.dense())
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):  # noqa: ARG003
        # A function that did not announce itself. It must not compute with a tensor that has no memory.
        raise TypeError(f"it calls {func} in a way that cannot be followed")


_QUESTIONS = {
    getattr(Tensor, name).__get__
    for name in "shape dtype device ndim layout requires_grad is_cuda is_leaf is_sparse is_quantized".split()
} | {getattr(Tensor, name) for name in "size dim numel nelement is_floating_point is_complex __len__".split()}
_COPIES = {torch.clone, Tensor.clone}


def _followed(func: Callable, args: tuple, kwargs: dict, regions: list[RegionTensor]) -> RegionTensor | None:
    """What a call makes of regions, if there is a rule for it and the result is worth it."""
    func, args, kwargs, in_place = _not_in_place(func, args, kwargs)
    rule, cache = RULES.get(func), regions[0].patch_storage.cache
    if rule is None or "out" in kwargs:
        return None
    old = regions[0]
    cache.call(func, [region.patch_storage.base for region in regions])
    # In some of them all groups are one by now.
    if len({len(region.patch_storage.groups) for region in regions}) > 1:
        for region in regions:
            region.patch_storage.groups = _one_group(region.patch_storage.groups)
    results = []
    for group in range(len(old.patch_storage.groups)):
        given, named = _mapped((args, kwargs), lambda region: region.patch_storage.groups[group])  # noqa: B023
        try:
            bound = _signature(rule).bind(cache, func, *given, **named)
        except TypeError:  # an option of torch that the rule does not take
            return None
        first = bound.arguments.get("input")
        if first is not None and not (isinstance(first, PatchedMaps) and len(regions) == 1):
            return None  # a filter that depends on the image
        results.append(rule(*bound.args, **bound.kwargs))
        if results[-1] is None:
            return None
    if len(results) > 1 and all(patches.size == patches.base.shape[2:] for patches in results):
        results = _one_group(results)  # whole maps have no border: one call for all is faster
    if in_place:
        base = results[0].base
        if (
            not args
            or args[0] is not old
            or base.shape != old.patch_storage.base.shape
            or base.dtype != old.dtype
        ):
            return None
        old.patch_storage.groups = results
        return old
    same = len(results) == len(old.patch_storage.groups) and all(
        map(operator.is_, results, old.patch_storage.groups)
    )
    return old if same and func not in _COPIES else RegionTensor(cache, results)


def _one_group(groups: list[PatchedMaps]) -> list[PatchedMaps]:
    """The same maps in the same order, each of them whole, in one group."""
    if len(groups) == 1:
        return groups
    maps = torch.cat([patches.dense() for patches in groups])
    corner = (0,) * len(maps)
    return [PatchedMaps(groups[0].base, maps, corner, corner)]


def _not_in_place(func: Callable, args: tuple, kwargs: dict) -> tuple[Callable, tuple, dict, bool]:
    """The call that gives the same result as a new tensor; and whether that was another one."""
    if func in IN_PLACE:
        return IN_PLACE[func], args, kwargs, True
    position = _inplace(func)
    if kwargs.get("inplace"):
        return func, args, {**kwargs, "inplace": False}, True
    if position is not None and len(args) > position and args[position]:
        return func, (*args[:position], False, *args[position + 1 :]), kwargs, True
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
    if isinstance(value, RegionTensor):
        yield value
    elif isinstance(value, dict):
        yield from _regions(list(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _regions(part)


def _mapped(value: object, change: Callable[[RegionTensor], object]) -> object:
    """The same nested arguments, with something else for each RegionTensor."""
    if isinstance(value, RegionTensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(part, change) for key, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_mapped(part, change) for part in value)
    return value


def of_windows(
    windows: Windows, image: Tensor, fill: Tensor, cache: BaseCache, numbers: Tensor, kinds: Tensor
) -> RegionTensor:
    """(P,) windows -> the covered images, to be computed only where they differ; sorted by kind.

    Args:
        windows: for this image.
        image, fill: (1, C, H, W), as in `OccludedImages`.
        cache: for all passes over this image.
        numbers: (P,) of the windows.
        kinds: (windows,) those of one kind make a group: their regions are to be about as large.
    """
    cache.begin()
    found = kinds[numbers]
    return RegionTensor(
        cache, [_patches(windows, image, fill, numbers[found == kind]) for kind in found.unique()]
    )


def _patches(windows: Windows, image: Tensor, fill: Tensor, numbers: Tensor) -> PatchedMaps:
    """In each patch the window, and where it was cut at the border some of the image."""
    (rows, cols), size = windows.size, windows.image_size
    top, left = windows.positions(numbers.to(image.device))
    first = top.clamp(max=size[0] - rows), left.clamp(max=size[1] - cols)
    before, over = (_pieces(part, *first, rows, cols) for part in (image, fill))
    down, right = (torch.arange(n, device=top.device) for n in (rows, cols))
    inside = (down >= (top - first[0])[:, None])[:, None, :, None]
    inside = inside & (right >= (left - first[1])[:, None])[:, None, None, :]
    return PatchedMaps(image, torch.where(inside, over, before), *(tuple(i.tolist()) for i in first))


def _pieces(image: Tensor, top: Tensor, left: Tensor, rows: int, cols: int) -> Tensor:
    """(1, C, H, W) -> (P, C, rows, cols), a piece of it from each position on."""
    down = top[:, None] + torch.arange(rows, device=top.device)  # (P, rows)
    right = left[:, None] + torch.arange(cols, device=top.device)  # (P, cols)
    channels_last = image[0].permute(1, 2, 0)[down[:, :, None], right[:, None, :]]  # (P, rows, cols, C)
    return channels_last.permute(0, 3, 1, 2)
