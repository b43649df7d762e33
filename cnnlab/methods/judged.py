"""Pictures that were changed in any way, judged like those of an attack.

Type: (model, originals, pictures) -> Attacked. For what was made against another network, with one noise for
all pictures, or with a sticker.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from cnnlab.methods import budgets
from cnnlab.methods.attacked import Attacked
from cnnlab.methods.attacking import Progress, run
from cnnlab.methods.targets import Target
from cnnlab.methods.victim import Trial, Victim


def judged(
    model: nn.Module,
    originals: Tensor,
    pictures: Tensor,
    *,
    labels: Target | None = None,
    target: Target | None = None,
    chunk: int = 64,
    progress: Progress | None = None,
) -> Attacked:
    """What a network says before and after a change.

    Args:
        model: any classifier that gives logits; it runs in eval mode.
        originals, pictures: (N, C, H, W) in [0, 1].
        labels: the true classes, or None: what the network says of the originals.
        target: the class that the change was to lead to, or None.
        chunk, progress: as in `fgsm`.

    Returns:
        Attacked.

    Raises:
        LookupError, ValueError: as `fgsm`; not as many pictures as originals, or of another shape.
    """
    budgets.refuse(pictures)
    victim = Victim(model, originals, labels, target)
    if pictures.shape != originals.shape:
        raise ValueError(
            f"each picture has its original: of {tuple(originals.shape)} they are {tuple(pictures.shape)}"
        )
    changed = pictures.detach()

    def steps(victim: Victim, rows: slice) -> Iterator[Trial]:
        yield Trial(changed[rows].clone(), victim.look(victim.images[rows], rows))

    return run(victim, steps, 1, chunk=chunk, progress=progress)
