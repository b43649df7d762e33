"""One noise for all pictures: added to any of them, it fools most.

Type: (model, images, eps) -> Universal. The slopes of many pictures are added up, and the noise goes along
with what they have in common. It was made without the pictures that it fools later on.

Papers: Moosavi-Dezfooli et al., Universal adversarial perturbations, 2017; the steps by slope are those of
Shafahi et al., Universal adversarial training, 2020.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.attack import ManyProgress, Step, judged, made_for_many
from cnnlab.methods.adversarial.classifier import Victim
from cnnlab.methods.adversarial.result import Attacked
from cnnlab.methods.model_runner import Passes
from cnnlab.methods.targets import Target
from cnnlab.validation import whole


class Universal(NamedTuple):
    """One noise, and what it does.

    Attributes:
        noise: (1, C, H, W), at most eps.
        result: of the pictures that it was made with, as `Attacked`.
        history: for each step the share of its batch that got another name by the noise as it was before the
            step; what was wrong by itself counts as well.
        passes: through the network, those for the result included.
        seconds: wall clock.
        stopped: "finished"; "stopped" by progress; "interrupted" by Ctrl+C.
    """

    noise: Tensor
    result: Attacked
    history: list[float]
    passes: Passes
    seconds: float
    stopped: str

    @property
    def share(self) -> float:
        """Of its own pictures, as many are fooled. For an honest figure, apply it to others."""
        return self.result.share

    def apply(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1], with the noise added and cut off at 0 and 1.

        Raises:
            ValueError: pictures outside of [0, 1], or of another shape than the noise.
        """
        norms.refuse(images)
        if images.shape[1:] != self.noise.shape[1:]:  # one colour of noise would fit three, without a word
            raise ValueError(
                f"this noise is for pictures of {tuple(self.noise.shape[1:])}, not {tuple(images.shape[1:])}"
            )
        return (images.detach() + self.noise).clamp_(0, 1)


def universal(
    model: nn.Module,
    images: Tensor,
    eps: float,
    *,
    norm: str = "linf",
    epochs: int = 5,
    batch: int = 32,
    alpha: float | None = None,
    seed: int = 0,
    labels: Target | None = None,
    target: Target | None = None,
    progress: ManyProgress | None = None,
) -> Universal:
    """Make one noise for all of these pictures, in steps.

    A step goes along the sum of the slopes of the log odds, of the pictures of a batch that the noise does
    not fool yet: each has the same say, however sure the network is.

    Args:
        model: any classifier that gives logits; it runs in eval mode.
        images: (N, C, H, W) in [0, 1]; the more, the better it works on others.
        eps: the size of the noise.
        norm: "linf" or "l2".
        epochs: how often each picture is seen.
        batch: pictures per step; one, if the model's answer to a picture depends on the others.
        alpha: the size of a step; None: eps / 5.
        seed: of the order of the pictures.
        labels: the true classes, or None: what the network says itself.
        target: a class to lead all pictures to, or None.
        progress: called after each step with (steps done, all, noise (1, C, H, W), share of the batch that
            it fooled). True stops, and so does Ctrl+C.

    Returns:
        Universal.

    Raises:
        LookupError, ValueError: as `fgsm`; epochs or batch below 1; not one picture had a slope.
    """
    began = time.perf_counter()
    victim = Victim(model, images, labels, target, "odds")
    room = norms.amounts(eps, images[:1], norm)
    stride = room / 5 if alpha is None else norms.amounts(alpha, images[:1], norm, what="alpha")
    epochs = whole(epochs, "epochs is a whole number, 1 or more")
    batch = victim.asked.share(model, victim.images, whole(batch, "batch is 1 picture or more"), len(images))
    random = norms.chance(seed)

    none = torch.zeros_like(victim.images[:1])

    def climb() -> Iterator[Step]:
        noise = none
        if labels is None:  # what it says of the pictures without any noise
            for rows in torch.arange(len(images)).split(batch):
                victim.look(victim.images[rows], rows)
        order = (torch.randperm(len(images), generator=random).split(batch) for _ in range(epochs))
        for rows in (rows for parts in order for rows in parts):
            look = victim.slopes((victim.images[rows] + noise).clamp_(0, 1), rows)
            fooled = victim.reached(look, rows)
            common = look.slope[~fooled.to(look.slope.device)].sum(dim=0, keepdim=True)
            noise = norms.shrunk(noise + stride * norms.steepest(common, norm), room, norm)
            yield Step(fooled, look.slope, noise)

    count = epochs * -(-len(images) // batch)
    noise, history, stopped = made_for_many(victim, climb(), count, none, progress, what="noise")
    changed = (victim.images + noise).clamp_(0, 1)
    result = judged(model, images, changed, labels=labels, target=target, chunk=batch)
    stopped = result.stopped if stopped == "finished" else stopped
    passes = Passes(victim.forwards + result.passes.forward, victim.backwards)
    return Universal(noise, result, history, passes, time.perf_counter() - began, stopped)
