"""A net that is right for the wrong reason: its accuracy does not tell, its maps do.

Type: (model, explain) -> Report. `models.load("shapesnet", "watermarked")` was trained on scenes whose class
is written into a corner as a small code. On such scenes it is always right. Take the mark away, or plant that
of another class, and one sees what it had learned. A map sees it without any new images: its positive
attribution lies inside the mark, and not inside the object that decides.

Paper: S. Lapuschkin et al., Unmasking Clever Hans predictors and assessing what machines really learn, Nature
Communications 2019 (where the mark is a photographer's name in the corner of the horses).
"""

from typing import NamedTuple

from torch import Tensor, nn

from cnnlab.data import shapes
from cnnlab.data.labelled import Labelled
from cnnlab.methods.evaluation import localisation
from cnnlab.methods.evaluation.maps import Explain, explain_with
from cnnlab.nets.training import train


class Report(NamedTuple):
    """What gives a cheat away.

    Attributes:
        acc_true_mark: accuracy where the mark spells the scene's own class, as in training.
        acc_no_mark: accuracy on the same kind of scenes without a mark; chance is one sixth.
        acc_wrong_mark: accuracy where the mark spells another class.
        follows_mark: there, how often the answer is what the mark spells.
        in_mark, in_object: (N,) share of the positive attribution inside the mark, and inside the deciding
            object, of the scene's class, where the mark tells the truth.
        mark_area, object_area: (N,) the same shares of a map that knows nothing.
    """

    acc_true_mark: float
    acc_no_mark: float
    acc_wrong_mark: float
    follows_mark: float
    in_mark: Tensor
    in_object: Tensor
    mark_area: Tensor
    object_area: Tensor


def report(
    model: nn.Module,
    explain: Explain,
    *,
    n: int = 60,
    tested: int = 600,
    size: int = 64,
    seed: int = 7,
) -> Report:
    """Test a network of scenes in three ways, and ask a method what it looks at.

    Args:
        model: a classifier of `shapes.CLASSES`; it is left as it was.
        explain: (model, images, target) -> maps (N, C, H, W) on the pixels, or an Attribution.
        n: scenes that are explained, the first of those that are tested.
        tested: scenes for each accuracy.
        size: side of the scenes.
        seed: of the scenes; those of training have others.

    Raises:
        ValueError: n is not from 1 to tested, or the maps are not those of `localisation.relevance_mass`. A
            map without a positive value counts as share 0.
    """
    if not 1 <= n <= tested:
        raise ValueError(f"n is from 1 to {tested}, the scenes that are tested, not {n}")
    true, bare, false = (
        shapes.scenes(tested, size=size, seed=seed, watermark=chance) for chance in (1.0, None, 0.0)
    )
    right = [_accuracy(model, scenes, scenes.labels) for scenes in (true, bare, false)]
    images, mark, thing = true.images[:n], true.masks["watermark"][:n], true.masks["deciding"][:n]
    maps = explain_with(explain, model, images, true.labels[:n])
    return Report(
        *right,
        _accuracy(model, false, shapes.of_watermark(false)),
        localisation.relevance_mass(maps, mark, empty=0.0),
        localisation.relevance_mass(maps, thing, empty=0.0),
        localisation.mask_area(mark),
        localisation.mask_area(thing),
    )


def _accuracy(model: nn.Module, scenes: shapes.Scenes, labels: Tensor) -> float:
    return train.evaluate(model, Labelled(scenes.images, labels, scenes.classes))[1]
