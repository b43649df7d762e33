"""Does a map depend on what the network has learned? Shuffle its weights from the top, and look again.

Type: (model, images, target, explain) -> rank correlations with the map of the trained network, one for each
depth. Layer by layer, from the last to the first, the numbers of each weight tensor are shuffled among its
positions: the same mean, spread and largest value, but nothing learned is left. A method whose map stays the
same explains the image, or the architecture; not the network. (Adebayo et al. draw the weights as at the
start of training; shuffling needs no guess at how that was, and serves batch norm and any other layer, too.)

Paper: J. Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from cnnlab.errors import unknown
from cnnlab.methods import targets
from cnnlab.methods.evaluation import rank_correlation
from cnnlab.methods.evaluation.maps import Explain, explain_with
from cnnlab.methods.model_runner import guarded_forward
from cnnlab.probing import eval_mode
from cnnlab.probing.hooks import on_forward
from cnnlab.validation import check_integer


class Sanity(NamedTuple):
    """What became of the maps; R rows, N images. Row 0 is the trained network.

    Attributes:
        layers: all layers with weights, from the top; "" are weights of the model itself, in no layer.
        depths: R numbers, how many layers were shuffled for each row: 0, 1, 2 and so on.
        signed: (R, N) rank correlation with row 0, of the maps with their signs.
        absolute: (R, N) the same of |map|.
        maps: (R, N, C, H, W).
    """

    layers: tuple[str, ...]
    depths: tuple[int, ...]
    signed: Tensor
    absolute: Tensor
    maps: Tensor


def sanity_check(
    model: nn.Module,
    images: Tensor,
    target: targets.Target,
    explain: Explain,
    *,
    together: bool = True,
    depths: Sequence[int] | None = None,
    seed: int = 0,
) -> Sanity:
    """Explain the same images with more and more of the network shuffled.

    The caller's model is never asked and never changed: every answer comes from a copy, in eval mode.

    Args:
        model: any network.
        images: (N, C, H, W).
        target: what is explained, the same at every depth; see `cnnlab.methods.targets`.
        explain: (model, images, target) -> maps (N, C, h, w), or an Attribution.
        together: at depth d the d topmost layers are shuffled; False: the d-th layer alone.
        depths: which to try, beside 0; None tries all, one explanation for each layer of the network.
        seed: of the shuffling.

    Returns:
        The maps and their correlations. A map with one value everywhere has no order: its correlation is 0.

    Raises:
        ValueError: no such depth, the answer of the model depends on no weight, or a map is not one for each
            image.
        LookupError, TypeError: a wrong target.
    """
    if targets.resolve(model, images, target).multi:
        raise ValueError("one class for each image, (N,), not several")
    if not callable(explain):
        raise TypeError(f"a method is a function (model, images, target) -> maps, not {explain!r}")
    if depths is not None and not isinstance(depths, Iterable):
        raise TypeError(f"depths are several numbers, such as range(3), not {depths!r}")
    groups = weight_layers_top_down(model, images[:1])
    known = range(len(groups) + 1)
    wanted = tuple(sorted({0, *(known if depths is None else depths)}))
    if not set(wanted) <= set(known):
        raise ValueError(f"depths are from 0 to {len(groups)}, the layers with weights, not {depths}")
    maps = []
    for depth in wanted:
        names = list(groups)[:depth] if together else list(groups)[max(depth - 1, 0) : depth]
        shuffled = shuffle_weights(model, [each for name in names for each in groups[name]], seed=seed)
        maps.append(explain_with(explain, shuffled, images.detach().clone(), target))
    signed, absolute = (
        torch.stack([rank_correlation.spearman(maps[0], each, absolute=size, constant=0.0) for each in maps])
        for size in (False, True)
    )
    return Sanity(tuple(groups), wanted, signed, absolute, torch.stack(maps))


def cascading_randomisation(model: nn.Module, image: Tensor, depth: int, *, seed: int = 0) -> nn.Module:
    """A copy of the model in which the topmost layers with weights are shuffled; the model stays as it is.

    Args:
        model: any network.
        image: (N, C, H, W), an image that it takes, to learn in which order the layers run.
        depth: how many layers, from 0 to all.
        seed: of the shuffling. A deeper cascade has the same new weights at the top.

    Raises:
        ValueError: there are not so many layers.
    """
    groups = weight_layers_top_down(model, image)
    depth = check_integer(depth, said := f"depth is from 0 to {len(groups)}, the layers with weights", 0)
    if depth > len(groups):
        raise ValueError(f"{said}, not {depth}")
    return shuffle_weights(model, [each for name in list(groups)[:depth] for each in groups[name]], seed=seed)


def shuffle_weights(model: nn.Module, names: Iterable[str], *, seed: int = 0) -> nn.Module:
    """A copy of the model in which these tensors are shuffled, each among its own positions.

    Vectors of one length in one module move together: a batch norm's mean stays with its variance, scale and
    shift. A tensor with one number only stays.

    Args:
        model: any network.
        names: of parameters and buffers, as in its state_dict.
        seed: other numbers shuffle in other ways; the global random state is left alone.

    Raises:
        LookupError: the model has no such tensor.
    """
    generator = torch.Generator().manual_seed(check_integer(seed, "seed is a whole number", -(2**63)))
    orders: dict[tuple[str, int], Tensor] = {}
    done: set[int] = set()
    with torch.inference_mode(False), torch.no_grad():
        copied = _copied(model)
        there = dict(copied.named_parameters(remove_duplicate=False)) | dict(
            copied.named_buffers(remove_duplicate=False)
        )
        for name in names:
            if name not in there:
                raise unknown("tensor", name, there)
            tensor = there[name]
            if id(tensor) in done:  # shared by two layers: shuffled once
                continue
            done.add(id(tensor))
            order = torch.randperm(tensor.numel(), generator=generator)
            if tensor.dim() == 1:
                order = orders.setdefault((name.rpartition(".")[0], len(tensor)), order)
            tensor.copy_(tensor.flatten()[order.to(tensor.device)].view_as(tensor))
    return copied


def weight_layers_top_down(model: nn.Module, image: Tensor) -> dict[str, list[str]]:
    """The layers with weights, the last that ran first, with the names of their tensors.

    Weights that are used without their module being called, as the last ones of nn.MultiheadAttention, count
    to the module around it; running statistics of batch norms count also where these have no weights. Weights
    behind a torch.no_grad() or a detach() are tried: does the answer change with them? Those on which it does
    not depend, as a part for training only, are left out. Of a layer that runs several times its first run
    counts.

    Args:
        model: any network; it is not changed, a copy runs in eval mode.
        image: (N, C, H, W), an image that it takes.

    Returns:
        name -> names of parameters and running statistics, as in the state_dict.

    Raises:
        ValueError: the answer depends on no weight, or is no tensor.

    >>> list(weight_layers_top_down(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 1, 1)),
    ...                          torch.zeros(1, 1, 4, 4)))
    ['2', '0']
    """
    ran: list[str] = []

    def note(name: str, output: object) -> None:  # noqa: ARG001  (that it ran is all we ask)
        if name not in ran:
            ran.append(name)

    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        copied = _copied(model).requires_grad_()
        weights = dict(copied.named_parameters())
        modules = [name for name, _ in copied.named_modules() if name]
        with eval_mode(copied), on_forward(copied, modules, note), guarded_forward(copied, image):
            output = copied(image.detach().clone())
        if not isinstance(output, Tensor):
            raise ValueError(f"the model answers with {type(output).__name__}; one tensor is wanted")
        found = (
            torch.autograd.grad(output.sum(), list(weights.values()), allow_unused=True)
            if output.requires_grad and weights
            else [None] * len(weights)
        )
        reached = {name for name, gradient in zip(weights, found, strict=True) if gradient is not None}
        with torch.no_grad(), eval_mode(copied):
            reached |= _matter(copied, image, [name for name in weights if name not in reached])
    used = [name for name in weights if name in reached]
    if not used:
        raise ValueError("the answer of this model depends on no weight, so there is nothing to shuffle")
    groups: dict[str, list[str]] = {name: [] for name in ["", *reversed(ran)]}  # the model itself ends last
    buffers = [name for name, value in copied.named_buffers() if value.is_floating_point()]
    running = [
        name
        for name in buffers
        if (module := name.rpartition(".")[0]) in groups
        and isinstance(copied.get_submodule(module), _NormBase)
    ]
    for module in dict.fromkeys(name.rpartition(".")[0] for name in [*used, *running]):
        owner = (
            (module + ".").partition("parametrizations.")[0].rstrip(".")
        )  # weight_norm keeps its parts there
        while owner and owner not in groups:
            owner = owner.rpartition(".")[0]
        groups[owner] += [name for name in [*used, *buffers] if name.rpartition(".")[0] == module]
    return {name: tensors for name, tensors in groups.items() if tensors}


def _matter(model: nn.Module, image: Tensor, names: list[str]) -> set[str]:
    """Those of these weights on which the answer depends though no gradient says so."""
    generator, weights = torch.Generator().manual_seed(0), dict(model.named_parameters())

    def answer(others: list[str]) -> Tensor:
        old = {name: weights[name].clone() for name in others}
        for name in others:
            weights[name].copy_(torch.randn(weights[name].shape, generator=generator))
        found = model(image.detach().clone()).clone()
        for name in others:
            weights[name].copy_(old[name])
        return found

    if not names:
        return set()
    plain = answer([])
    if torch.equal(answer(names), plain):  # as where a part is for training only
        return set()
    return {name for name in names if not torch.equal(answer([name]), plain)}


def _copied(model: nn.Module) -> nn.Module:
    """A deep copy, also of a model that keeps a map of its last pass, or a weight that a hook computes."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"a model (torch.nn.Module) comes first, not {type(model).__name__}")
    kept = {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and value.grad_fn is not None
    }
    try:
        return copy.deepcopy(model, kept)
    except Exception as error:
        raise ValueError(f"the model cannot be copied: {error}") from error
