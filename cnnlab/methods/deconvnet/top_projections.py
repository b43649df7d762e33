"""The strongest patches of a unit, each beside what of it made the unit fire: the sheets of the paper.

Type: (model, images, Top, field) -> (C, k, 3, h, w), of the same shape and order as `top.patches`.
Paper: Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014, figure 2.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from cnnlab.data.loading import image_source
from cnnlab.methods.deconvnet.project import project
from cnnlab.methods.top.ranking import Top
from cnnlab.methods.top.scan import numbered
from cnnlab.probing import Unit
from cnnlab.probing.receptive import Field


def project_top_patches(
    model: nn.Module,
    images: Tensor | Sequence | str | Path,
    found: Top,
    field: Field,
    *,
    channels: Sequence[int],
    rule: str = "deconvnet",
    batch: int = 16,
) -> Tensor:
    """What of each patch made its unit fire.

    Args:
        model: the network that was scanned.
        images: the images that were scanned; only those that are needed are read.
        found: what `top.scan` found, full.
        field: `receptive.field(model, found.layer, image_size)`.
        channels: which.
        rule: as in `deconvnet.project`.
        batch: images per pass.

    Returns:
        (C, k, 3, h, w) with a sign; what lies beyond the border of an image is 0.

    Raises:
        ValueError: no channels, one that does not exist, or a ranking that is not full.
    """
    if not len(channels) or not all(0 <= channel < len(found.values) for channel in channels):
        raise ValueError(
            f"channels are numbers from 0 to {len(found.values) - 1}, one or more, not {channels}"
        )
    if not found.full():
        raise ValueError("the ranking is not full: merge all parts of the scan first")
    numbered_images = numbered(model, images, field.image_size[0])
    positions = [(channel, position) for channel in channels for position in range(found.values.shape[1])]
    cut = []
    for first in range(0, len(positions), batch):
        part = positions[first : first + batch]
        units = [
            Unit(found.layer, channel, int(found.row[channel, position]), int(found.col[channel, position]))
            for channel, position in part
        ]
        given = torch.cat([image_source.take(numbered_images, [int(found.image_index[one])]) for one in part])
        signal = project(model, given, units, rule, batch=batch)
        cut += [field.crop(one[None], unit.row, unit.col)[0] for one, unit in zip(signal, units, strict=True)]
    return torch.stack(cut).view(len(channels), -1, *cut[0].shape)
