"""Which images make one unit fire most, and where? For all channels of a layer, in one pass.

Type: (model, images, layer) -> Top, the k strongest positions of every channel. The images stream: in memory
are one batch, its maps, and k numbers per channel. `patches` cuts out what those units see.

Papers: Girshick et al., Rich feature hierarchies, 2014 (top regions of a unit);
Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014 (top-9).
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from cnnlab.data.loading import image_source
from cnnlab.methods.top import ranking, resume
from cnnlab.methods.top.ranking import Top
from cnnlab.probing import Recorder, eval_mode
from cnnlab.probing.receptive import Field
from cnnlab.probing.units import layer as find

__all__ = ["Top", "numbered", "patches", "scan"]


def scan(
    model: nn.Module,
    images: Tensor | Sequence | str | Path,
    layer: str,
    *,
    k: int = 9,
    per_image: int = 1,
    batch: int = 32,
    size: int | None = None,
    shard: tuple[int, int] = (0, 1),
    channels_last: bool = False,
    progress: Callable[[int, int], object] | None = None,
    cache: str | Path | None = None,
    key: str | None = None,
) -> Top:
    """The k strongest positions of every channel of a layer, over all images.

    Of equal values the lower image comes first, then the lower row, then the lower column.

    Args:
        model: any network; it runs in eval mode, and only as far as the layer.
        images: (N, C, H, W); or a data set or list of images (C, H, W) or (image, label); or the path of
            a folder of images, read one batch at a time.
        layer: its name; it puts out (N, C, rows, cols), or (N, C): then row and col are 0.
        k: how many positions, at most as many as there are candidates.
        per_image: how many of them one image may give: 1 takes its maximum only.
        batch: images per pass.
        size: to which the images of a folder are brought; left out, the model's `input_size`.
        shard: (i, n) scans only the i-th of n parts, i from 0; `Top.merge` puts the parts together.
        channels_last: compute in the order that is fastest on a CPU, up to twice as fast. The values may
            differ from those of the plain pass by some 1e-6 of the largest, so near rivals may swap
            positions.
        progress: called with (images done, images in all) after every batch.
        cache: a folder. The ranking so far is kept there every two seconds and when the scan ends, also by
            Ctrl+C; the same scan goes on from there. A finished one is only read.
        key: a name for the images in the cache, needed for a data set. A tensor is known by its bytes, a
            folder by names, lengths and times.

    Returns:
        Top: values, image_index, row, col, each (C, k), the strongest first. With shard, a part with too few
        candidates is filled up with value -inf and -1 elsewhere.

    Raises:
        LookupError: the model has no such layer, or it did not run.
        TypeError: images is none of the above.
        ValueError: no images, k above the number of candidates, a layer that runs twice in one pass or puts
            out something else, a number that is not finite (says in which image), a damaged file.

    >>> from cnnlab.data import photos
    >>> from cnnlab.nets import models
    >>> found = scan(models.load("photonet"), photos.crops(n=20).images, "relu3", k=3)
    >>> found.values.shape, found.seen
    (torch.Size([96, 3]), 20)
    """
    find(model, layer)
    numbered_images = numbered(model, images, size)
    _need_whole(k=k, per_image=per_image, batch=batch)
    part, parts = shard
    if not (type(part) is type(parts) is int and 0 <= part < parts <= len(numbered_images)):
        raise ValueError(f"shard is (i, n), 0 <= i < n <= {len(numbered_images)} images, but it is {shard!r}")
    if k > len(numbered_images) * per_image:
        raise ValueError(_too_few(k, len(numbered_images), per_image))
    first, last = len(numbered_images) * part // parts, len(numbered_images) * (part + 1) // parts
    named = ""
    if cache is not None:
        data = (
            image_source.fingerprint(numbered_images) if key is None else ("key", key, len(numbered_images))
        )
        # What the layer says of the first image is part of the name: code that no hash can see, a helper
        # function that was changed in a notebook, shows there.
        with torch.no_grad(), torch.random.fork_rng(devices=[]), eval_mode(model):
            said = _maps(model, layer, _taken(numbered_images, range(1)).clone(), stop=False).float().cpu()
        answer = hashlib.sha256(said.contiguous().view(-1).numpy()).hexdigest()
        named = resume.key(model, layer, k, per_image, (part, parts), channels_last, data, answer)
    kept = resume.Cache(cache, named, last - first)
    found = kept.read()
    begin = first + (found.seen if found is not None else 0)
    with torch.no_grad(), torch.random.fork_rng(devices=[]), eval_mode(model):
        try:
            for start in range(begin, last, batch):
                numbers = range(start, min(start + batch, last))
                given = _taken(numbered_images, numbers)
                if channels_last:
                    given = given.contiguous(memory_format=torch.channels_last)
                if start == begin:
                    # One image runs to the end: a layer called again later would otherwise go unnoticed.
                    _maps(model, layer, given[:1].clone(), stop=False)
                maps = _maps(model, layer, given, stop=True)
                if found is None:
                    positions = min(per_image, maps[0, 0].numel())
                    if k > len(numbered_images) * positions:
                        raise ValueError(_too_few(k, len(numbered_images), positions))
                    found = ranking.nothing(maps.shape[1], k, layer, per_image, maps)
                found = _insert(found, maps, start)
                del maps, given  # or two batches of maps would be in memory at a time
                kept.keep(found)
                if progress is not None:
                    progress(found.seen, last - first)
        except BaseException:  # Ctrl+C, too: what was found so far is not lost
            kept.keep(found, now=True)
            raise
    return found


def patches(
    images: Tensor | Sequence | str | Path,
    top: Top,
    field: Field | None,
    *,
    channels: Sequence[int] | None = None,
    outside: float = 0.0,
) -> Tensor:
    """What the strongest units see: each image of a ranking, cut to the receptive field.

    Args:
        images: those that were scanned; only those that are needed are read, each once.
        top: what `scan` found.
        field: `receptive.field(model, layer, image_size)`; None: whole images, for a layer without maps.
        channels: which; all if left out.
        outside: the value of what lies beyond the border of the image.

    Returns:
        (C, k, 3, h, w), a copy; (h, w) is the size of the field, 3 the channels of the images.

    Raises:
        ValueError: a channel, image or position that does not exist, a field for another size of image, or a
            ranking that is not full.
    """
    if isinstance(images, str | Path) and field is None:
        raise ValueError(
            "give the field, or image_source.Folder(path, size): a path alone does not say the size"
        )
    numbered_images = image_source.source(images, size=field.image_size[0] if field is not None else None)
    if channels is None:
        channels = range(len(top.values))
    for channel in channels:
        if not 0 <= channel < len(top.values):
            raise ValueError(f"no channel {channel}: {top.layer} has channels 0 to {len(top.values) - 1}")
    chosen = top.image_index[list(channels)]  # (C, k)
    if (chosen < 0).any():
        raise ValueError("the ranking is not full: merge all parts of the scan first")
    if chosen.numel() and int(chosen.max()) >= len(numbered_images):
        raise ValueError(f"the ranking names image {int(chosen.max())}, but here are {len(numbered_images)}")
    cut = None
    for number in chosen.unique().tolist():
        image = image_source.take(numbered_images, [number])  # (1, 3, H, W)
        for j, position in (chosen == number).nonzero().tolist():
            row, col = int(top.row[channels[j], position]), int(top.col[channels[j], position])
            seen = image if field is None else field.crop(image, row, col, outside=outside)
            if cut is None:
                cut = seen.new_empty(*chosen.shape, *seen.shape[1:])  # (C, k, 3, h, w)
            if cut[j, position].shape != seen[0].shape:
                raise ValueError(f"image {number} is {tuple(image.shape[1:])}, others have another size")
            cut[j, position] = seen[0]
    if cut is None:
        raise ValueError("no channels were asked for")
    return cut


def _insert(found: Top, maps: Tensor, start: int) -> Top:
    """The ranking after one more batch, (n, C, rows, cols), whose images come after all it has seen."""
    (n, channels, _, width), k = maps.shape, found.values.shape[1]
    flat = maps.flatten(2)  # (n, C, rows, cols) -> (n, C, positions)
    peak = flat.amax(dim=2)  # (n, C); nan, if there is one
    _need_finite(peak, found.layer, start)
    # A later image must be stronger than the weakest that is kept: equal ones stay behind. Few are, so the
    # slow search for the position is done for those only.
    enters = (peak > found.values[:, -1]).nonzero(as_tuple=True)  # (p,) images, (p,) channels
    if not len(enters[0]):
        return found._replace(seen=found.seen + n)
    m = min(found.per_image, k, flat.shape[2])
    values = flat.new_full((n, channels, m), -torch.inf)
    where = values.new_full(values.shape, -1, dtype=torch.int64)
    rest = flat[enters]  # (p, positions), a copy
    for j in range(m):
        best = rest.max(dim=1)  # of equal ones the first position
        values[(*enters, j)], where[(*enters, j)] = best
        rest.scatter_(1, best.indices[:, None], -torch.inf)
    _need_finite(values.masked_fill(where < 0, 0), found.layer, start)  # -inf, if nothing else is left
    hot = enters[1].unique()  # (c,), channels that change
    # (n, C, m) -> (c, n * m): within a channel by image, then by position, as a stable sort keeps it on ties.
    values, where = (part[:, hot].transpose(0, 1).flatten(1) for part in (values, where))
    number = torch.arange(start, start + n, device=maps.device).repeat_interleave(m).expand_as(where)
    row, col = where.div(width, rounding_mode="floor"), where % width
    new = values, *(part.masked_fill(where < 0, -1) for part in (number, row, col))
    kept = [part.clone() for part in found[:4]]
    both = [torch.cat([old[hot], part], dim=1) for old, part in zip(kept, new, strict=True)]
    order = both[0].sort(dim=1, descending=True, stable=True).indices[:, :k]
    for old, part in zip(kept, both, strict=True):
        old[hot] = part.gather(1, order)
    return Top(*kept, found.layer, found.seen + n, found.per_image)


def _need_finite(values: Tensor, layer: str, start: int) -> None:
    if not (good := values.flatten(1).isfinite().all(dim=1)).all():
        number = start + int(good.int().argmin())
        raise ValueError(f"for image {number}, '{layer}' puts out a number that is not finite")


def _maps(model: nn.Module, layer: str, images: Tensor, *, stop: bool) -> Tensor:
    """(n, C, rows, cols), checked; of a layer without maps (n, C, 1, 1)."""
    with Recorder(model, layer, stop=stop, copy=not stop) as acts:
        model(images)
    maps = acts[layer]
    if maps.dim() not in (2, 4) or len(maps) != len(images) or not maps.numel():
        raise ValueError(
            f"'{layer}' must put out (N, C, rows, cols) or (N, C) for N images, not {tuple(maps.shape)} "
            f"for {len(images)}. Choose another layer"
        )
    if not maps.is_floating_point():
        raise ValueError(f"'{layer}' puts out {maps.dtype}; activations are floating-point numbers")
    return maps if maps.dim() == 4 else maps[:, :, None, None]


def numbered(model: nn.Module, images: Tensor | Sequence | str | Path, size: int | None) -> Tensor | Sequence:
    """Images by their numbers; those of a folder in the size and the colours that the model wants."""
    made_for = getattr(model, "input_size", None)  # (channels, rows, columns), of the networks of the course
    grey = made_for is not None and made_for[0] == 1
    return image_source.source(
        images, size=made_for[1] if size is None and made_for is not None else size, grey=grey
    )


def _taken(numbered: Sequence | Tensor, numbers: range) -> Tensor:
    given = image_source.take(numbered, numbers)
    if not given.is_floating_point():
        raise ValueError(f"images hold numbers from 0 to 1, but these are {given.dtype}: divide by 255 first")
    return given


def _need_whole(**numbers: int) -> None:
    for name, number in numbers.items():
        if type(number) is not int or number < 1:
            raise ValueError(f"{name} is a whole number, 1 or more, but it is {number!r}")


def _too_few(k: int, images: int, positions: int) -> str:
    most = images * positions
    return (
        f"k is {k}, but {images} images with at most {positions} positions each give {most} candidates. Take "
        f"k={most} or less, more images, or a larger per_image"
    )
