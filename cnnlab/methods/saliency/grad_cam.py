"""Grad-CAM: which positions of the last maps gave a class its score, for any network.

Type: (model, images, target, layer) -> Attribution on the layer's grid. How much a whole channel counts is
the mean of the score's gradient over its map, and the maps are added with these weights. Where the network
ends with a global mean and a dense layer, this is the class activation map divided by its number of
positions.
Papers: Selvaraju et al., Grad-CAM, ICCV 2017, and guided Grad-CAM in it.
"""

import time
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cnnlab.methods.attribution import Attribution, collect
from cnnlab.methods.model_runner import Passes, batches, input_gradients
from cnnlab.methods.saliency.guided_backprop import guided_backprop
from cnnlab.methods.saliency.upsampling import MapLayerFinder, upsample_to_image
from cnnlab.methods.targets import ResolvedTarget, Target, resolve
from cnnlab.probing import layer as find, layers, preserved
from cnnlab.probing.hooks import on_forward
from cnnlab.probing.memory_format import to_fast_memory_format

# They look at a tensor, but not at its numbers.
_QUESTIONS = {
    getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "requires_grad", "ndim")
} | {
    Tensor.size,
    Tensor.dim,
    Tensor.__len__,
}


def grad_cam(
    model: nn.Module,
    images: Tensor,
    target: Target,
    *,
    layer: str | None = None,
    output: str = "logit",
    rectify: bool = False,
    batch: int = 16,
) -> Attribution:
    """The maps of a layer, added with the mean gradient of the score in each.

    Nothing before the layer is differentiated, so it costs a pass forward and a short way back.

    Args:
        model: any network; it runs in eval mode.
        images: (N, C, H, W) in [0, 1].
        target: see `targets`; a Unit must lie behind the layer, if that is named.
        layer: with maps, one that runs once; by default the last such, as `upsampling.last_feature_maps`
            names it, and of a Unit the last before its own layer.
        output: "logit" or "probability".
        rectify: cut off what is negative, as the paper does. If nothing is left, the map is all zeros: then
            no position speaks for the target, which the signed map shows.
        batch: images per pass.

    Returns:
        Attribution with a map (N, 1, h, w) on the grid of the layer, raw and signed unless rectified.
        `upsampling.upsample_to_image` brings it to the image.

    Raises:
        LookupError: no such class or layer.
        ValueError: as `gradient`; a layer without maps or that runs several times; one whose maps the model
            reads by another way than its answer; a score that does not depend on the layer.
    """
    return _located(model, images, target, layer, output, rectify, batch)[0]


def guided_grad_cam(
    model: nn.Module,
    images: Tensor,
    target: Target,
    *,
    layer: str | None = None,
    output: str = "logit",
    batch: int = 16,
) -> Attribution:
    """Guided backprop, weighted by the rectified Grad-CAM at each pixel: sharp, and about the class.

    Args, Raises: as `grad_cam` and `guided_backprop`. Also refused: a layer of which it cannot be told where
    its cells lie on the image.

    Returns:
        Attribution with a map (N, C, H, W). It is all zeros where Grad-CAM has nothing positive.
    """
    began = time.perf_counter()
    where, layer = _located(model, images, target, layer, output, True, batch)
    fine = guided_backprop(model, images, target, output=output, batch=batch)
    maps = fine.map * upsample_to_image(where.map, model, layer, tuple(images.shape[2:]))
    passes = Passes(*(a + b for a, b in zip(where.passes, fine.passes, strict=True)))
    return fine._replace(map=maps, passes=passes, seconds=time.perf_counter() - began)


def _located(
    model: nn.Module,
    images: Tensor,
    target: Target,
    layer: str | None,
    output: str,
    rectify: bool,
    batch: int,
) -> tuple[Attribution, str]:
    """Grad-CAM, and the layer that it is of."""
    began = time.perf_counter()
    resolved = resolve(model, images, target, output)
    if layer is not None:
        find(model, layer)
    batch = resolved.independent_batch_size(model, images, batch, len(images))
    sure, cut, ran = layer is not None, layer if layer is not None else _guess(model), 0
    parts = []
    for rows in batches(images, batch):
        part, values, last = _chunk(model, images[rows], resolved.rows(rows), cut, sure)
        ran += len(values)
        if last != cut:  # the guess was wrong, and the pass has told the right one
            part, values, _ = _chunk(model, images[rows], resolved.rows(rows), last, True)
            ran += len(values)
        sure, cut = True, last
        parts.append((part, values))
    maps, values = (torch.cat(each) for each in zip(*parts, strict=True)) if len(parts) > 1 else parts[0]
    maps = maps.clamp(min=0) if rectify else maps
    return collect(resolved, maps, values, None, Passes(ran, resolved.indices.numel()), began), cut


class _Cut(TorchFunctionMode):
    """The layer's maps, taken out of the graph: from here on there are gradients, before there are none.

    A block may keep its maps (self.maps = h) for another to read. Those are not cut, and the gradient that
    goes through them is lost; so every call is watched for them. What a block computes of them before it
    answers, and what a scripted function reads, is not seen.
    """

    def __init__(self, name: str | None, model: nn.Module):
        super().__init__()
        self.name, self.maps, self.finder = name, None, MapLayerFinder(model)
        self.uncut: Tensor | None = None  # kept, so that no other tensor gets its memory
        self.memory, self.passed_by, self.watching = 0, False, ExitStack()

    def __torch_function__(self, func, types, args=(), kwargs=None):  # noqa: ARG002
        kwargs = kwargs or {}
        if not self.passed_by and func not in _QUESTIONS:
            self.passed_by = any(map(self._is_uncut, (*args, *kwargs.values())))
        return func(*args, **kwargs)

    def _is_uncut(self, part: object) -> bool:
        if isinstance(part, tuple | list):  # torch.cat
            return any(map(self._is_uncut, part))
        return isinstance(part, Tensor) and _memory(part) == self.memory  # however it is looked at

    def on_output(self, name: str, output: object) -> Tensor | None:
        self.finder.on_output(name, output)
        if name != self.name or self.finder.runs[name] > 1:
            return None
        if not isinstance(output, Tensor) or output.dim() != 4:
            return None
        torch.set_grad_enabled(True)  # `preserved` switches it off again
        self.maps = output.detach().clone().requires_grad_()
        after = self.maps.clone()  # an in-place ReLU that follows must not write into the leaf
        self.uncut, self.memory = output, _memory(output)
        self.watching.enter_context(self)  # only from here on: it slows down every call
        return after


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.layout == torch.strided else id(tensor)


def _chunk(
    model: nn.Module, images: Tensor, resolved: ResolvedTarget, name: str | None, sure: bool
) -> tuple[Tensor | None, Tensor, str]:
    """Maps (B, T, 1, h, w), scores (B, T) and the layer that it should have been: `name`, if it was right.

    Args:
        sure: `name` is no guess: what is wrong with it is an error, and no other layer is listened to.
    """

    cut = _Cut(name, model)
    # Gradients are off until the layer has run: nothing before it keeps a graph.
    with preserved(model, grad=False):
        given = to_fast_memory_format(model, images.detach())
        with cut.watching, on_forward(model, [name] if sure else layers(model), cut.on_output):
            output = resolved.forward(model, given)
        cut.passed_by |= cut._is_uncut(output)
        scores = resolved.read(output)  # outside of the watch, which slows down every call
        last = name if sure else cut.finder.last(None if resolved.unit is None else resolved.unit.layer)
        if last != name:
            return None, scores.detach(), last
        _refuse(cut, name, resolved)
        gradients = torch.stack(input_gradients(scores, cut.maps), dim=1)  # (B, T, C, h, w)
    weights = gradients.mean(dim=(3, 4))  # (B, T, C)
    maps = cut.maps.detach()
    found = weights @ maps.flatten(2)  # (B, T, C) @ (B, C, h * w)
    return found.unflatten(2, maps.shape[2:])[:, :, None], scores.detach(), last


def _refuse(cut: _Cut, name: str, resolved: ResolvedTarget) -> None:
    runs = cut.finder.runs.get(name, 0)
    if not runs:
        why = "it did not run" if resolved.unit is None else f"it does not run before {resolved.unit.layer!r}"
    elif cut.maps is None:
        why = "it does not put out maps (N, C, h, w)"
    elif runs > 1:
        why = f"it ran {runs} times in one pass, so it has no single map"
    elif cut.passed_by:
        why = "the model keeps its maps and reads them later, past what the layer answers"
    else:
        return
    raise ValueError(f"Grad-CAM cannot use layer {name!r}: {why}. Choose another layer with maps.")


def _guess(model: nn.Module) -> str | None:
    """The part before the first that flattens, fits or is dense. A pass checks it, and knows better."""
    before = None
    for name, part in model.named_children():
        ends = (nn.Flatten, nn.Linear, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
        if any(isinstance(each, ends) for each in part.modules()):
            break
        before = name
    return before
