"""What every saliency method returns: the map, and the numbers by which it can be doubted.

A map alone can always be made to look convincing. So each map comes with the score that it explains, its own
sum, what the sum should be, and what it cost to compute.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.methods.model_runner import Passes, batches, input_gradients
from cnnlab.methods.targets import ResolvedTarget, Target, resolve
from cnnlab.probing import at_rest, preserved, relu_graph, relu_rule
from cnnlab.probing.hooks import apply_rule_backward
from cnnlab.probing.memory_format import to_fast_memory_format

Progress = Callable[[int, int], object]


class Attribution(NamedTuple):
    """A map, signed and raw, with its bookkeeping. Where several targets were asked, (N, T, …) not (N, …).

    Attributes:
        map: (N, C, H, W) on the pixels, or (N, 1, h, w) on the grid of a layer; positive speaks for the
            target. Never normalised.
        target: (N,) the class numbers; of a unit zeros.
        score: (N,) f(x), the logit, probability or activation that is explained.
        reference: (N,) f(x'), the score of the baseline; None where the method has no baseline.
        passes: through the network.
        seconds: wall clock.
    """

    map: Tensor
    target: Tensor
    score: Tensor
    reference: Tensor | None
    passes: Passes
    seconds: float

    @property
    def total(self) -> Tensor:
        """(N,) the sum of each map."""
        return self.map.sum(dim=(-3, -2, -1))

    @property
    def difference(self) -> Tensor | None:
        """(N,) f(x) - f(x'): what the sum of a complete map is."""
        return None if self.reference is None else self.score - self.reference

    @property
    def gap(self) -> Tensor | None:
        """(N,) how far the sum is from f(x) - f(x'); zero: complete. None without a baseline."""
        return None if self.reference is None else self.total - self.difference


def collect(
    resolved: ResolvedTarget,
    maps: Tensor,
    scores: Tensor,
    reference: Tensor | None,
    passes: Passes,
    began: float,
) -> Attribution:
    """The result of a method that worked on (N, T, …); where one target was asked for, that axis goes.

    Args:
        resolved: what was explained.
        maps, scores, reference: (N, T, C, H, W), (N, T) and (N, T) or None.
        passes: through the network.
        began: time.perf_counter() at the start.
    """
    parts = (maps, resolved.indices, scores, reference)
    if not resolved.multi:
        parts = tuple(part if part is None else part[:, 0] for part in parts)
    return Attribution(*parts, passes, time.perf_counter() - began)


def scores_and_gradients(
    model: nn.Module, images: Tensor, resolved: ResolvedTarget, rule: str = "gradient"
) -> tuple[Tensor, Tensor, int]:  # (B, C, H, W) -> (B, T), (B, T, C, H, W), forward passes of an image
    """Scores and their gradients for images that fit into one pass, and how often that ran."""

    with preserved(model, grad=True):
        leaf = images.detach()  # the caller's memory: the model gets a copy of it
        leaf = (leaf.clone() if leaf.is_inference() else leaf).requires_grad_()
        given = to_fast_memory_format(model, leaf)
        with at_rest(model):
            scores, runs = resolved.scores(model, given), 1
            if rule != "gradient" and not apply_rule_backward(relu_graph.relu_nodes(scores), rule):
                # Not all that the rule must meet is seen in the graph: a second pass, watched call by call.
                with relu_rule(model, rule):
                    scores, runs = resolved.scores(model, to_fast_memory_format(model, leaf)), 2
                relu_graph.check_rule_applies(scores, rule)
        down = input_gradients(scores, leaf)
        down = down[0][:, None] if len(down) == 1 else torch.stack(down, dim=1)
        return scores.detach(), down, runs


def scores(model: nn.Module, images: Tensor, resolved: ResolvedTarget, batch: int) -> Tensor:
    """(N, T) scores without any gradients."""

    with preserved(model, grad=False):
        parts = [
            resolved.rows(rows).scores(model, to_fast_memory_format(model, images[rows].detach()))
            for rows in batches(images, batch)
        ]
    return torch.cat(parts)


def weighted_mean(
    images: int,
    weights: Tensor,
    maps: Callable[[Tensor, Tensor], Tensor],
    *,
    batch: int,
    progress: Progress | None = None,
) -> Tensor:
    """One mean for each image.

    >>> weighted_mean(2, torch.tensor([0.75, 0.25]), lambda image, point: image + 10.0 * point, batch=3)
    tensor([2.5000, 3.5000])

    Args:
        images: how many, N.
        weights: (K,) of the points, positive, together 1.
        maps: called with (B,) numbers of images and (B,) numbers of points; gives (B, …), and the memory
            may be used again.
        batch: the largest B.
        progress: called with (done, N * K) after each pass. True stops: the mean is over the points so far,
            of which every image has at least one.

    Returns:
        (N, …)
    """
    if batch < 1:
        raise ValueError(f"a pass takes 1 image or more, not {batch}")
    total, weight, everything = None, torch.zeros(images, dtype=torch.float64), images * len(weights)
    stopped = False
    for first in range(0, everything, batch):
        rows = torch.arange(first, min(first + batch, everything))
        image, point = rows % images, rows // images
        part = maps(image, point)
        if total is None:
            total = part.new_zeros(images, *part.shape[1:])
        share = weights[point].to(part).view(-1, *[1] * (part.dim() - 1))
        if images == 1:  # much faster than adding row by row
            total[0] += (part * share).sum(dim=0)
        else:
            total.index_add_(0, image.to(part.device), part * share)
        del part  # not kept while the next ones are made
        weight.index_add_(0, image, weights[point].double())
        done = len(rows) + first
        stopped |= progress is not None and progress(done, everything) is True
        if stopped and done >= images:
            break
    if done < everything:
        total /= weight.to(total).view(-1, *[1] * (total.dim() - 1))
    return total


def attribute_by_backprop(
    model: nn.Module, images: Tensor, target: Target, rule: str, output: str, batch: int
) -> Attribution:
    began = time.perf_counter()
    resolved = resolve(model, images, target, output)
    batch = resolved.independent_batch_size(model, images, batch, len(images))
    parts = [
        scores_and_gradients(model, images[rows], resolved.rows(rows), rule)
        for rows in batches(images, batch)
    ]
    values, maps = (torch.cat([part[k] for part in parts]) for k in (0, 1))
    forward = sum(len(part[0]) * part[2] for part in parts)
    return collect(resolved, maps, values, None, Passes(forward, resolved.indices.numel()), began)
