"""What every attack hands back: the changed pictures, and for each whether it worked and what it took.

A success without the size of the change says nothing: with enough of it any picture is fooled. So both stand
side by side, for each picture.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from cnnlab.methods.model_runner import Passes


class Attacked(NamedTuple):
    """Pictures after an attack.

    Attributes:
        pictures: (N, C, H, W) in [0, 1].
        originals: (N, C, H, W), those that were given: the same memory, not a copy.
        labels: (N,) the class that an attack leads away from: as given, or what the network said before.
        target: (N,) the class that it leads to, or None.
        before, after: (N,) what the network says.
        success: (N,) bool. Without target: after is not the label. With one: after is the target.
        linf, l2: (N,) size of the change: the largest, and the root of the sum of squares.
        loss_before, loss_after: (N,) cross-entropy at the label, or at the target: minus the logarithm of its
            probability.
        no_slope: (N,) bool: wherever the attack asked for a slope, it was zero for all pixels, so there was
            no way to follow. The network hides it; that does not make it safe: see `masking`.
        passes: through the network.
        seconds: wall clock.
        stopped: "finished"; "stopped" by progress; "interrupted" by Ctrl+C: the rest of the pictures is as
            it was.
    """

    pictures: Tensor
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
    no_slope: Tensor
    passes: Passes
    seconds: float
    stopped: str

    @property
    def noise(self) -> Tensor:
        """(N, C, H, W) what was added."""
        return self.pictures - self.originals

    @property
    def open(self) -> Tensor:
        """(N,) bool: was there anything to do? It was right before, or did not say the target yet."""
        return self.before == self.labels if self.target is None else self.before != self.target

    @property
    def share(self) -> float:
        """How many of the open pictures were fooled, from 0 to 1; nan if none was open.

        A picture that was wrong by itself is no success of an attack.
        """
        return float(self.success[self.open].double().mean()) if bool(self.open.any()) else float("nan")

    @property
    def probability(self) -> Tensor:
        """(N,) of the label, or of the target, after the attack."""
        return (-self.loss_after).exp()

    def __str__(self) -> str:
        fooled, opened = int((self.success & self.open).sum()), int(self.open.sum())
        lines = [
            f"{fooled} of {opened} pictures fooled; change at most {float(self.linf.max()) * 255:.1f}/255, "
            f"l2 {float(self.l2.mean()):.2f} on average; {self.passes}"
        ]
        if self.no_slope.any():
            lines.append(
                f"{int(self.no_slope.sum())} pictures had no slope to follow: this network hides it, which "
                "does not make it safe"
            )
        if self.stopped != "finished":
            lines.append(f"{self.stopped} before the end")
        return "\n".join(lines)


def to_its_end(found: Attacked) -> Attacked:
    """An attack that nobody interrupted, for those who go on with it.

    An attack keeps what it has at Ctrl+C, so that nothing is lost. Where it is one of many, to go on with
    half of it would give wrong numbers, and Ctrl+C would stop nothing.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    if found.stopped == "interrupted":
        raise KeyboardInterrupt
    return found


def joined(
    parts: list[Attacked], originals: Tensor, passes: Passes, seconds: float, stopped: str
) -> Attacked:
    """The results of chunks, one after the other."""
    columns = zip(*(part[:-3] for part in parts), strict=True)  # without passes, seconds, stopped
    whole = Attacked(
        *(None if column[0] is None else torch.cat(column) for column in columns), passes, seconds, stopped
    )
    return whole._replace(originals=originals)
