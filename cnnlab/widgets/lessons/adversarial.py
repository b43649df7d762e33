"""The widgets of lecture 10: one dial for three kinds of noise, a class to lead to, a sticker to be moved.

A slider must not wait for an attack. So all sizes are attacked at once, in one batch, when a picture is
chosen; the slider then picks one of them.
"""

import functools
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.data import photos
from cnnlab.drawing.raster import pixels, plots
from cnnlab.methods import adversarial, targets
from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.result import completed
from cnnlab.widgets import ImageInput, cached, explore

_LARGE = 3  # how much a picture of 64 pixels is enlarged: three stand on a slide
_MOST = 10  # of 255: the largest change of a dial
_STEPS = 8  # of an attack in small steps: enough for these sizes, see the test
_TIMES = 10  # how much a change is enlarged to be seen
_BLOCK, _BLOCKS = "\u2588", 14  # a bar is made of these; characters of the longest possible one
_KINDS = ("random noise", "FGSM", "PGD")
_EVERY = 2  # of 255, from one size to the next towards a class: there are twenty classes to attack
_LEVELS = torch.arange(_MOST + 1) / 255


def dial():
    """One dial for the size of three changes: a random one, one step, many steps."""
    return explore(
        dial_view,
        title="One dial, three kinds of noise",
        eps=(0, _MOST),
        image=ImageInput(tuple(photos.names()), size=64, value="cat"),
        start={"eps": 2},
        presets={"nothing": {"eps": 0}, "2 of 255": {"eps": 2}, "8 of 255": {"eps": 8}},
        alt="the picture with random noise, after one step and after many steps, and the probability",
    )


def dial_view(eps: int, image: Tensor) -> dict:
    """The three changed pictures, and how sure the network still is of its first answer.

    Args:
        eps: by how much every number may change, of 255.
        image: (1, 3, S, S).

    Returns:
        The pictures, the probability of the first answer at every size, and what the network says.
    """
    model = cached.net("photonet")
    drawn = {kind: _every_size(kind, *_key(image), None) for kind in _KINDS}
    first = int(drawn["FGSM"].chances[0].argmax())  # without any change
    sure = {kind: found.chances[:, first].tolist() for kind, found in drawn.items()}
    levels = list(range(_MOST + 1))
    curve = plots.curves(
        {kind: (levels, values) for kind, values in sure.items()},
        plots.Axis(0, _MOST, "eps, of 255"),
        plots.Axis(0, 1, f"probability of {model.classes[first]}"),
        dots={kind: (eps, values[eps]) for kind, values in sure.items()},
        width=430,
        height=210,
        beside=110,
    )
    lines = []
    for kind, found in drawn.items():
        chance, number = found.chances[eps].max(dim=0)
        lines.append(f"{kind + ':':13} {model.classes[int(number)]} {chance:.0%}")
    shown = {kind: pixels.enlarge(pixels.grey(found.images[eps]), _LARGE) for kind, found in drawn.items()}
    return {**shown, "how sure": curve, "": "\n".join(lines)}


def towards():
    """Choose what the network shall say, and how much may be changed for it."""
    return explore(
        towards_view,
        title="Say what the network shall say",
        eps=(0, _MOST, _EVERY),
        target=list(cached.net("photonet").classes),
        image=ImageInput(tuple(photos.names()), size=64, value="cat"),
        start={"eps": 4, "target": "pizza"},
        alt="the picture, the change enlarged ten times, and their sum",
    )


def towards_view(eps: int, target: str, image: Tensor) -> dict:
    """The picture, what was added, and the sum of both, with the most probable classes.

    Args:
        eps: by how much every number may change, of 255; an even number.
        target: the class to lead to.
        image: (1, 3, S, S).

    Returns:
        Three pictures, and the probabilities before and after.
    """
    model = cached.net("photonet")
    found = _every_size("PGD", *_key(image), target)
    changed = found.images[[eps // _EVERY]]
    bars = [_bars(model, found.chances[size]) for size in (0, eps // _EVERY)]
    return {
        "the picture": pixels.enlarge(pixels.grey(image), _LARGE),
        f"what is added, x {_TIMES}": pixels.enlarge(
            pixels.grey((0.5 + _TIMES * (changed - image)).clamp(0, 1)), _LARGE
        ),
        "the sum": pixels.enlarge(pixels.grey(changed), _LARGE),
        "": f"before\n{bars[0]}\n\nafter, no number off by more than {eps} of 255\n{bars[1]}",
    }


def stick(model: nn.Module, stickers: dict[str, Tensor], images: dict[str, Tensor]):
    """Move a sticker over a picture.

    Args:
        model: a classifier.
        stickers: name -> (C, S, S), all of one size; the first is there at the start.
        images: name -> (1, C, H, W), all of one size.
    """
    limit = next(iter(images.values())).shape[-1] - next(iter(stickers.values())).shape[-1]
    return explore(
        functools.partial(stick_view, model=model, stickers=stickers, images=images),
        title="Move the sticker",
        row=(0, limit),
        column=(0, limit),
        sticker=list(stickers),
        image=list(images),
        start={"row": limit // 8, "column": limit // 8},
        alt="a picture with a sticker on it",
    )


def stick_view(
    row: int,
    column: int,
    sticker: str,
    image: str,
    *,
    model: nn.Module,
    stickers: dict[str, Tensor],
    images: dict[str, Tensor],
) -> dict:
    """The picture with the sticker, and what the network says without it and with it.

    Args:
        row, column: where its upper left corner lies.
        sticker, image: their names.
        model, stickers, images: as in `stick`.

    Returns:
        The picture without and with it, and the most probable classes of both.
    """
    plain = images[image]
    position = torch.tensor([row]), torch.tensor([column])
    pasted = adversarial.apply_patch(plain, stickers[sticker], *position)
    factor = max(1, _LARGE * 64 // plain.shape[-1])
    with torch.no_grad():
        bars = [_bars(model, chances) for chances in model(torch.cat([plain, pasted])).softmax(dim=1)]
    return {
        "without": pixels.enlarge(pixels.grey(plain), factor),
        "with the sticker": pixels.enlarge(pixels.grey(pasted), factor),
        "": f"without\n{bars[0]}\n\nwith it\n{bars[1]}",
    }


class _Sizes(NamedTuple):
    """One picture, changed in all sizes: (sizes, 3, S, S), and what the network says, (sizes, classes)."""

    images: Tensor
    chances: Tensor


@functools.lru_cache(maxsize=64)  # three attacks on each of the photos
def _every_size(kind: str, data: bytes, side: int, target: str | None) -> _Sizes:
    model = cached.net("photonet")
    image = torch.frombuffer(bytearray(data), dtype=torch.float32).view(1, 3, side, side)
    levels = _LEVELS if target is None else _LEVELS[::_EVERY]
    many = image.repeat(len(levels), 1, 1, 1)
    if kind == "random noise":  # one toss for all sizes: the dial makes a noise stronger, and not another one
        toss = norms.random_perturbation(image, "linf", norms.generator(0))
        changed = (many + norms.per_image(levels) * toss).clamp(0, 1)
    else:
        options = {"steps": _STEPS, "start": "image"} if kind == "PGD" else {}
        attack = adversarial.pgd if kind == "PGD" else adversarial.fgsm
        found = attack(model, many, levels, target=target, **options)
        completed(found)  # half an attack is not to be remembered
        changed = found.images
    with torch.no_grad():
        return _Sizes(changed, model(changed).softmax(dim=1))


def _key(image: Tensor) -> tuple[bytes, int]:
    return image.detach().contiguous().numpy().tobytes(), image.shape[-1]


def _bars(model: nn.Module, chances: Tensor) -> str:
    """(classes,) -> a line for each of the three most probable ones: a bar, the probability, the name."""
    values, numbers = chances.topk(min(3, len(chances)))
    return "\n".join(
        f"{_BLOCK * round(share * _BLOCKS):{_BLOCKS}} {share:4.0%} {targets.class_name(model, number)}"
        for share, number in zip(values.tolist(), numbers.tolist(), strict=True)
    )
