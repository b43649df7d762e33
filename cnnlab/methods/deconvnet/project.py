"""What in this image made a unit fire? Its activation is projected back down to the pixels.

Type: (model, image, unit) -> like image, signed: added to the image, it would strengthen the unit if the
rectified ways stayed open. All other activations of the unit's layer are set to zero, and the unit's value
goes back: unpool with the switches, rectify, convolve with the transposed filters.

There are two ways to compute it, and they agree. `project` is back-propagation with another rule at the ReLUs
(`cnnlab.probing.relu_rules` has the three rules as one line each); `layer_by_layer` walks down as the paper
draws it, without automatic differentiation.

Papers: Zeiler & Fergus 2014 (deconvnet), Simonyan et al. 2014 (gradient; it is backprop but for the ReLUs),
Springenberg et al. 2015 (guided).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cnnlab.errors import unknown
from cnnlab.probing import Recorder, Unit, layer, preserved, relu_graph, relu_rule, relu_rules, unique_modules

INITIAL_SIGNALS = ("activation", "one")
UNREACHED = "{} does not depend on the image by operations that a signal can go back through"


def project(
    model: nn.Module,
    image: Tensor,
    unit: Unit | Sequence[Unit],
    rule: str = "deconvnet",
    *,
    initial: str = "activation",
    batch: int = 16,
) -> Tensor:
    """A unit's activation, projected to the pixels by back-propagation with a rule at every ReLU.

    What starts is the value that the layer puts out: of a ReLU the rectified one (a silent unit projects to
    zero), of a convolution the signed one. A unit without a position stands for its whole map: every position
    starts with its own value, and their signals are rectified together, so it is not the sum over the
    positions. (Zeiler & Fergus show the strongest position alone: see `strongest_unit`.) Of a layer that runs
    several times, the first run counts, and nothing after it is computed.

    Without max pooling on the way, "deconvnet" never looks at the image but for the value of the start.

    Args:
        model: any network; it runs in eval mode.
        image: (N, C, H, W) in [0, 1], any number of images.
        unit: one for all images, or a list of one for each, all of one layer.
        rule: "deconvnet" (g * [g > 0]), "gradient" (g * [x > 0]) or "guided" (both).
        initial: "activation", the unit's own value: "gradient" is then the gradient times it; or "one".
        batch: images per pass.

    Returns:
        (N, C, H, W), one projection for each image.

    Raises:
        LookupError: no such layer, rule or initial signal, or the layer does not run.
        ValueError: no such channel or position; an image is not finite; the network has no ReLU for the rule.
    """
    if rule not in relu_rules.NAMED:
        raise unknown("rule", rule, relu_rules.NAMED)
    if initial not in INITIAL_SIGNALS:
        raise unknown("initial signal", initial, INITIAL_SIGNALS)
    units = one_each(model, image, unit)
    if batch < 1:
        raise ValueError(f"a pass takes 1 image or more, not {batch}")
    parts = []
    for first in range(0, len(image), batch):
        part = image[first : first + batch]
        with preserved(model, grad=True):
            leaf = part.detach().clone().requires_grad_()
            with relu_rule(model, rule), Recorder(model, units[0].layer, stop=True, grad=True) as acts:
                model(leaf.clone())  # a first layer that works in place must not touch the leaf
            reached = acts.calls(units[0].layer)[0]
            relu_graph.check_rule_applies(reached, rule)
            signal = initial_signal(reached.detach(), units[first : first + batch], initial)
            if not reached.requires_grad:
                raise ValueError(UNREACHED.format(units[0].layer))
            (down,) = torch.autograd.grad(reached, leaf, signal, allow_unused=True)
        if down is None:
            raise ValueError(UNREACHED.format(units[0].layer))
        parts.append(down)
    return torch.cat(parts)


def strongest_unit(model: nn.Module, image: Tensor, layer: str, channel: int) -> Unit:
    """The position where a feature map is largest in one image; the first of equals.

    >>> net = nn.Sequential(nn.ReLU())
    >>> strongest_unit(net, torch.tensor([[[[0.0, 3.0], [1.0, 2.0]]]]), "0", 0)
    Unit(layer='0', channel=0, row=0, col=1)

    Args:
        model: any network; it runs in eval mode.
        image: (1, C, H, W).
        layer, channel: the feature map.

    Returns:
        The unit at this position; for a layer without positions (N, C), the unit itself.

    Raises:
        LookupError: no such layer.
        ValueError: no such channel, or more than one image.
    """
    unit = Unit(layer, channel)
    one_each(model, image, unit)
    if len(image) != 1:
        raise ValueError(f"the strongest position is that of one image, not of {len(image)}")
    with preserved(model, grad=False), Recorder(model, layer, stop=True) as acts:
        model(image.detach().clone())
    values = unit.activation(acts.calls(layer)[0])  # (1, rows, cols), or (1,)
    if values.dim() == 1:
        return unit
    row, col = divmod(int(values.argmax()), values.shape[2])
    return unit._replace(row=row, col=col)


def one_each(model: nn.Module, image: Tensor, unit: Unit | Sequence[Unit]) -> list[Unit]:
    """A unit for each image, after all that can be checked before a pass."""
    if not isinstance(image, Tensor) or not image.is_floating_point() or image.dim() != 4 or not len(image):
        given = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(f"images are (N, C, H, W), floating point, at least one; not {given}")
    if not image.isfinite().all():
        raise ValueError("an image holds a number that is not finite (nan or inf)")
    units = [unit] * len(image) if isinstance(unit, Unit) else list(unit)
    if not all(isinstance(each, Unit) for each in units):
        raise TypeError(
            f"what is projected is Unit(layer, channel, row, col), or a list of units; not {unit!r}"
        )
    if len(units) != len(image):
        raise ValueError(f"one unit, or one for each of {len(image)} images, not {len(units)}")
    names = list(dict.fromkeys(each.layer for each in units))
    if len(names) > 1:
        raise ValueError(
            f"the units of one call are of one layer, not of {', '.join(names)}: call once for each"
        )
    layer(model, names[0])  # a wrong name is said before the model runs
    if any(isinstance(part, _BatchNorm) and part.running_var is None for part in unique_modules(model)):
        raise ValueError(
            "this model has a batch norm without running statistics: what a unit answers to one image "
            "depends on the others of the batch, so there is no projection of one image"
        )
    return units


def initial_signal(activations: Tensor, units: list[Unit], initial: str) -> Tensor:
    """Zero but for the unit of each image."""
    signal = torch.zeros_like(activations)
    if len(signal) != len(units):
        raise ValueError(f"{units[0].layer} must put out one answer per image, not {tuple(signal.shape)}")
    for n, unit in enumerate(units):
        here = slice(n, n + 1)
        unit.activation(signal[here]).copy_(
            unit.activation(activations[here]) if initial == "activation" else torch.tensor(1.0)
        )
        if not signal[here].isfinite().all():
            raise ValueError(f"the activation of {unit} is not finite in image {n}: nothing to project")
    return signal
