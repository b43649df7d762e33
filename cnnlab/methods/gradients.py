"""Which pixels would change the score? Its slope at every pixel, and two maps made of it.

Type: (model, images, target) -> Attribution on the pixels. One pass forward and one back for each target;
several targets share the pass forward.

Papers: Simonyan et al. 2014 (gradient), Shrikumar et al. 2016 (gradient x input), Springenberg et al. 2015
(guided backprop), Zeiler & Fergus 2014 (deconvnet).
"""

import functools
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cnnlab.methods import disguised
from cnnlab.methods.asking import finite, whole
from cnnlab.methods.attribution import Attribution, Passes, kept
from cnnlab.methods.targets import Asked, Target, ask
from cnnlab.names import unknown
from cnnlab.nets.small import Net, Normalise
from cnnlab.probing import at_rest, each_part, relu_rule, rules, settled, undisturbed
from cnnlab.probing.at_rest import replaced
from cnnlab.probing.hooks import rule_back

_FILTERS_PER_CELL = 6  # numbers in filters for each in the first maps; with more, it is not worth the layout
_ANY_LAYOUT = {nn.Sequential, nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.BatchNorm2d, nn.Dropout}
_ANY_LAYOUT |= {
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Flatten,
    nn.Linear,
    nn.Identity,
    Net,
    Normalise,
}
# torchvision's own code for these was read: it flattens with torch.flatten and joins channels with torch.cat.
# By name, for torchvision takes a second to import.
_READ = {
    f"torchvision.models.{name}"
    for name in "alexnet.AlexNet vgg.VGG resnet.ResNet resnet.BasicBlock resnet.Bottleneck "
    "squeezenet.SqueezeNet squeezenet.Fire googlenet.BasicConv2d googlenet.Inception".split()
}


def gradient(
    model: nn.Module, images: Tensor, target: Target, *, of: str = "logit", batch: int = 16
) -> Attribution:
    """The slope of the score at every pixel: what a little more of it would add.

    It says how the score would change, not where it came from: a pixel that was decisive may have slope
    zero, because its unit is saturated.

    Args:
        model: any network; it runs in eval mode.
        images: (N, C, H, W) in [0, 1].
        target: a class by number or name, (N,) or (N, T) numbers, or a Unit: see `targets`.
        of: "logit" or "probability". At p near 1 the slopes of the probability are near zero.
        batch: pictures per pass; one, if the model's answer to a picture depends on the others.

    Returns:
        Attribution, its map (N, C, H, W): positive where a brighter pixel raises the score. Of (N, T)
        targets (N, T, C, H, W), by one pass forward.

    Raises:
        LookupError: no such class, layer or `of`.
        ValueError: pictures or targets of a wrong shape, numbers that are not finite, a model that is random
            in eval mode, or a score that does not depend on the picture.

    Paper: Simonyan, Vedaldi & Zisserman, Deep inside convolutional networks, 2014.
    """
    return _in_chunks(model, images, target, "gradient", of, batch)


def gradient_x_input(
    model: nn.Module, images: Tensor, target: Target, *, of: str = "logit", batch: int = 16
) -> Attribution:
    """The slope at every pixel times the pixel: what is lost on the way to black, if the slope stays.

    Args, Raises: as `gradient`.

    Returns:
        Attribution with a map (N, C, H, W). Its sum is the logit for networks of ReLUs without any bias; for
        others it is not f(x) - f(black), so there is no reference.

    Paper: Shrikumar et al., Not just a black box, 2016.
    """
    found = gradient(model, images, target, of=of, batch=batch)
    pixels = images.detach() if found.map.dim() == 4 else images.detach()[:, None]
    return found._replace(map=found.map * pixels)


def guided(
    model: nn.Module, images: Tensor, target: Target, *, of: str = "logit", batch: int = 16
) -> Attribution:
    """Guided backprop: the gradient, but at EVERY ReLU only what is positive goes on down.

    Sharp, and with little to say about the class: it shows what the network could see at all.

    Args, Returns: as `gradient`. It is not a gradient of anything: adding it to the picture need not help.

    Raises:
        ValueError: also if there is no ReLU, or on the way is an activation for which the rule is not
            defined: the map would be, in part or in whole, the plain gradient.

    Paper: Springenberg et al., Striving for simplicity, 2015.
    """
    return rectified(model, images, target, "guided", of=of, batch=batch)


def rectified(
    model: nn.Module,
    images: Tensor,
    target: Target,
    rule: str = "guided",
    *,
    of: str = "logit",
    batch: int = 16,
) -> Attribution:
    """Back-propagation with another rule at every ReLU: "guided", "deconvnet" or "gradient".

    `deconvnet.project` does the same for units, and starts with their activation; here the start is one.

    Args, Returns, Raises: as `guided`.
    """
    if rule not in rules.NAMED:
        raise unknown("rule", rule, rules.NAMED)
    return _in_chunks(model, images, target, rule, of, batch)


def slopes(
    model: nn.Module, images: Tensor, asked: Asked, rule: str = "gradient"
) -> tuple[Tensor, Tensor, int]:  # (B, C, H, W) -> (B, T), (B, T, C, H, W), forward passes of a picture
    """Scores and their gradients for pictures that fit into one pass, and how often that ran."""

    with undisturbed(model, grad=True):
        leaf = images.detach()  # the caller's memory: the model gets a copy of it
        leaf = (leaf.clone() if leaf.is_inference() else leaf).requires_grad_()
        given = as_usual(model, leaf)
        with at_rest(model):
            scores, runs = asked.scores(model, given), 1
            if rule != "gradient" and not rule_back(disguised.plain_relus(scores), rule):
                # Not all that the rule must meet is seen in the graph: a second pass, watched call by call.
                with relu_rule(model, rule):
                    scores, runs = asked.scores(model, as_usual(model, leaf)), 2
                disguised.refuse(scores, rule)
        down = backward(scores, leaf)
        down = down[0][:, None] if len(down) == 1 else torch.stack(down, dim=1)
        return scores.detach(), down, runs


def scores(model: nn.Module, images: Tensor, asked: Asked, batch: int) -> Tensor:
    """(N, T) scores without any slopes."""

    with undisturbed(model, grad=False):
        parts = [
            asked.rows(rows).scores(model, as_usual(model, images[rows].detach()))
            for rows in chunks(images, batch)
        ]
    return torch.cat(parts)


def as_usual(model: nn.Module, images: Tensor) -> Tensor:
    """A copy for a model to work on, row by row in memory; channels side by side where that is safe.

    Many convolutions are faster so, by a fifth on photonet. But Tensor.view of maps then fails, and
    h.flatten(1).relu_() changes a copy of h without a word. So only where all parts are known, in a row.
    The filters are laid out anew in each pass, which pays if there are not too many of them for the maps.
    """
    layout = torch.channels_last if _side_by_side(model, images) else torch.contiguous_format
    return images.clone(memory_format=layout)


@contextmanager
def passing_often(model: nn.Module, images: Tensor, batch: int) -> Iterator[None]:
    """Around many passes: what each of them does to the model, and its filters' layout, is done once.

    Args:
        images: of the size that goes through the model.
        batch: how many in a pass.

    Raises:
        ValueError: as `settled`.
    """
    some = images[:1].expand(batch, -1, -1, -1)
    with settled(model, channels_last=_side_by_side(model, some)):
        yield


def _side_by_side(model: nn.Module, images: Tensor) -> bool:
    filters, cells = 0, None
    for part in each_part(model):
        if not _takes_any_layout(type(part)) or _changed(part):
            return False
        if type(part) is nn.Conv2d:
            filters += part.weight.numel()
            if cells is None:
                pixels = len(images) * images.shape[2] * images.shape[3]
                cells = pixels * part.out_channels // math.prod(part.stride)
    return cells is not None and filters <= _FILTERS_PER_CELL * cells


@functools.lru_cache(maxsize=256)
def _takes_any_layout(kind: type[nn.Module]) -> bool:
    return kind in _ANY_LAYOUT or f"{kind.__module__}.{kind.__qualname__}" in _READ


def _changed(part: nn.Module) -> bool:
    return bool(part._forward_hooks or part._forward_pre_hooks or replaced(part))


def backward(scores: Tensor, source: Tensor) -> list[Tensor]:
    """The gradient of each of (B, T) scores: T tensors of the shape of their source. Ends at the source.

    Raises:
        ValueError: the scores do not depend on the source, or a gradient is not finite.
    """
    found = []
    for t in range(scores.shape[1]):
        down = None
        if scores.requires_grad:
            later = t + 1 < scores.shape[1]
            (down,) = torch.autograd.grad(scores[:, t].sum(), source, retain_graph=later, allow_unused=True)
        if down is None:
            raise ValueError(
                "the score does not depend on the picture by operations that a gradient can go back through"
            )
        if not finite(down):
            raise ValueError("the gradient is not finite (nan or inf): look at the weights")
        found.append(down.contiguous())
    return found


def chunks(images: Tensor, batch: int) -> Iterator[slice]:
    """Rows of so many pictures at a time."""
    batch = whole(batch, "a pass takes 1 picture or more")
    return (slice(first, first + batch) for first in range(0, len(images), batch))


def _in_chunks(
    model: nn.Module, images: Tensor, target: Target, rule: str, of: str, batch: int
) -> Attribution:
    began = time.perf_counter()
    asked = ask(model, images, target, of)
    batch = asked.share(model, images, batch, len(images))
    parts = [slopes(model, images[rows], asked.rows(rows), rule) for rows in chunks(images, batch)]
    values, maps = (torch.cat([part[k] for part in parts]) for k in (0, 1))
    looks = sum(len(part[0]) * part[2] for part in parts)
    return kept(asked, maps, values, None, Passes(looks, asked.numbers.numel()), began)
