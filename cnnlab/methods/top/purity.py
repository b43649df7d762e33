"""Do the images that a unit likes best have something in common? Counted, not felt.

Type: (Top, labels) -> (C,), the largest share of a unit's images that have one and the same label.
Nine images can look alike by accident: `chance_purity` says how alike nine images are that nobody chose.
"""

import torch
from torch import Tensor

from cnnlab.methods.top.ranking import Top


def label_purity(found: Top, labels: Tensor) -> Tensor:
    """For each channel, the share of its strongest images that have the most frequent of their labels.

    Args:
        found: a ranking, as `top.scan` gives it; full.
        labels: (N,) whole numbers from 0, one for each image that was scanned.

    Returns:
        (C,) from 1/k to 1.

    Raises:
        ValueError: the ranking is not full, names an image without a label, or labels are no numbers from 0.
    """
    if not found.full():
        raise ValueError("the ranking is not full: merge all parts of the scan first")
    if labels.dim() != 1 or labels.dtype != torch.int64 or len(labels) != found.seen or labels.min() < 0:
        given = f"{tuple(labels.shape)} {labels.dtype}"
        raise ValueError(
            f"{found.seen} images were scanned: labels are ({found.seen},) int64 from 0, not {given}"
        )
    return _largest(labels[found.image_index], int(labels.max()) + 1)


def chance_purity(labels: Tensor, k: int = 9, *, draws: int = 2000, seed: int = 0) -> float:
    """What `label_purity` is on average for k images that are drawn at random: the line to compare with.

    Args:
        labels: (N,) whole numbers from 0.
        k: how many images.
        draws: how often.
        seed: of the draws.
    """
    if not 1 <= k <= len(labels) or draws < 1:
        raise ValueError(f"{k} images cannot be drawn {draws} times from {len(labels)}")
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.rand(draws, len(labels), generator=generator).topk(k, dim=1).indices  # without repetition
    return _largest(labels[chosen], int(labels.max()) + 1).mean().item()


def iou(active: Tensor, masks: Tensor) -> Tensor:
    """How well the positions where a unit fires cover a concept: intersection over union, over all images.

    Args:
        active: (N, C, H, W) bool, where each channel fires, brought to the size of the images.
        masks: (N, H, W) bool, where the concept is, as `shapes.scenes` knows it.

    Returns:
        (C,) from 0 to 1: 1 where unit and concept are the same pixels; 0 also where both are empty. A unit
        that fires everywhere gets the share of the area that the concept has. Paper: D. Bau et al., Network
        dissection, CVPR 2017.

    Raises:
        ValueError: shapes that do not fit together, or numbers where True and False are wanted.
    """
    if active.dim() != 4 or masks.shape != (active.shape[0], *active.shape[2:]):
        raise ValueError(f"(N, C, H, W) and (N, H, W), not {tuple(active.shape)} and {tuple(masks.shape)}")
    if active.dtype != torch.bool or masks.dtype != torch.bool:
        raise ValueError(f"both are bool, not {active.dtype} and {masks.dtype}: compare with a threshold")
    both = (active & masks[:, None]).sum(dim=(0, 2, 3))
    either = (active | masks[:, None]).sum(dim=(0, 2, 3))
    return both / either.clamp(min=1)


def _largest(labels: Tensor, kinds: int) -> Tensor:
    """(R, k) labels -> (R,) share of the most frequent one in each row."""
    counts = torch.zeros(len(labels), kinds).scatter_add_(1, labels, torch.ones(labels.shape))
    return counts.amax(dim=1) / labels.shape[1]
