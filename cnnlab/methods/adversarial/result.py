"""What every attack hands back: the changed images, and for each whether it worked and what it took.

A success without the size of the change says nothing: with enough of it any image is fooled. So both stand
side by side, for each image.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from cnnlab.methods.model_runner import Passes


class AttackResult(NamedTuple):
    """Images after an attack.

    Attributes:
        images: (N, C, H, W) in [0, 1].
        originals: (N, C, H, W), those that were given: the same memory, not a copy.
        labels: (N,) the class that an attack leads away from: as given, or what the network said before.
        target: (N,) the class that it leads to, or None.
        before, after: (N,) what the network says.
        success: (N,) bool. Without target: after is not the label. With one: after is the target.
        linf, l2: (N,) size of the change: the largest, and the root of the sum of squares.
        loss_before, loss_after: (N,) cross-entropy at the label, or at the target: minus the logarithm of its
            probability.
        zero_gradient: (N,) bool: wherever the attack asked for a gradient, it was zero for all pixels, so
            there was no way to follow. The network hides it; that does not make it safe: see
            `gradient_masking`.
        passes: through the network.
        seconds: wall clock.
        stopped: "finished"; "stopped" by progress; "interrupted" by Ctrl+C: the rest of the images is as
            it was.
    """

    images: Tensor
    originals: Tensor
    labels: Tensor
    target: Tensor | None
    before: Tensor
    after: Tensor
    success: Tensor
    linf: Tensor
    l2: Tensor
    loss_before: Tensor
    loss_after: Tensor
    zero_gradient: Tensor
    passes: Passes
    seconds: float
    stopped: str

    @property
    def noise(self) -> Tensor:
        """(N, C, H, W) what was added."""
        return self.images - self.originals

    @property
    def attackable(self) -> Tensor:
        """(N,) bool: was there anything to do? It was right before, or did not say the target yet."""
        return self.before == self.labels if self.target is None else self.before != self.target

    @property
    def success_rate(self) -> float:
        """How many of the attackable images were fooled, from 0 to 1; nan if there are none.

        An image that was wrong by itself is no success of an attack.
        """
        fooled = self.success[self.attackable]
        return float(fooled.double().mean()) if len(fooled) else float("nan")

    @property
    def probability(self) -> Tensor:
        """(N,) of the label, or of the target, after the attack."""
        return (-self.loss_after).exp()

    def __str__(self) -> str:
        n_fooled = int((self.success & self.attackable).sum())
        n_attackable = int(self.attackable.sum())
        lines = [
            f"{n_fooled} of {n_attackable} images fooled; change at most "
            f"{float(self.linf.max()) * 255:.1f}/255, "
            f"l2 {float(self.l2.mean()):.2f} on average; {self.passes}"
        ]
        if self.zero_gradient.any():
            lines.append(
                f"{int(self.zero_gradient.sum())} images had no gradient to follow: this network hides it, "
                "which does not make it safe"
            )
        if self.stopped != "finished":
            lines.append(f"{self.stopped} before the end")
        return "\n".join(lines)


def completed(result: AttackResult) -> AttackResult:
    """An attack that nobody interrupted, for those who go on with it.

    An attack keeps what it has at Ctrl+C, so that nothing is lost. Where it is one of many, to go on with
    half of it would give wrong numbers, and Ctrl+C would stop nothing.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    return result


def concatenate(
    parts: list[AttackResult], originals: Tensor, passes: Passes, seconds: float, stopped: str
) -> AttackResult:
    """The results of batches, one after the other."""
    columns = zip(*(part[:-3] for part in parts), strict=True)  # without passes, seconds, stopped
    whole = AttackResult(
        *(None if column[0] is None else torch.cat(column) for column in columns), passes, seconds, stopped
    )
    return whole._replace(originals=originals)
