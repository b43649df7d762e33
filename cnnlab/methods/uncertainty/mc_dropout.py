"""How sure is a network? Ask it many times, each time with other units dropped.

Type: (model, images) -> Uncertainty. Dropout is left on while testing, so each answer is that of another,
thinner network; where they disagree, the network does not know.

Papers: Gal & Ghahramani, Dropout as a Bayesian approximation, ICML 2016; Houlsby et al., Bayesian active
learning for classification and preference learning, 2011 (the mutual information).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cnnlab.methods.targets import check_images
from cnnlab.probing import preserved
from cnnlab.probing.units import check_not_compiled
from cnnlab.validation import all_finite, check_integer, check_probabilities

_MAX_CACHED = 2**28  # bytes of what the answers share
_DROPOUTS = {F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout}
# Called by name, these come without an inplace of their own: (x, p, train).
_LOW_LEVEL_DROPOUTS = {
    getattr(torch, f"{kind}dropout{end}")
    for kind in ("", "alpha_", "feature_", "feature_alpha_")
    for end in ("", "_")
} | {torch.native_dropout}


class Uncertainty(NamedTuple):
    """What many answers to the same images say, in nats.

    Attributes:
        mean: (N, K) the mean probability of each class.
        variance: (N, K) of that probability, over the answers.
        entropy: (N,) of the mean: all uncertainty, from 0 to log K.
        expected_entropy: (N,) the mean entropy of a single answer: uncertainty that is in the image, as in
            a digit between 4 and 9.
        n_samples: how many answers.
    """

    mean: Tensor
    variance: Tensor
    entropy: Tensor
    expected_entropy: Tensor
    n_samples: int

    @property
    def mutual_information(self) -> Tensor:
        """(N,) entropy - expected_entropy: how much the answers disagree, that is in the network."""
        return (self.entropy - self.expected_entropy).clamp(min=0)


def predict(
    model: nn.Module, images: Tensor, *, n_samples: int = 50, seed: int = 0, batch: int = 32
) -> Uncertainty:
    """The mean answer of many thinned networks, and how far they disagree.

    Args:
        model: a classifier with dropout, as modules or by calls of F.dropout or torch.dropout; everything
            else, such as batch norm, works as in eval mode. Randomness of another kind that a model turns off
            by its own `if self.training` stays off.
        images: (N, C, H, W) in [0, 1].
        n_samples: how often each image is asked, 2 or more.
        seed: of what is dropped.
        batch: images per pass; memory does not grow with samples.

    Raises:
        ValueError: the model drops nothing, so that all answers are one; images or answers that are not
            finite, or no (N, K) logits.
    """
    check_integer(n_samples, "n_samples is a whole number, 2 or more", least=2)
    return summary(samples(model, images, n_samples=n_samples, seed=seed, batch=batch))


def summary(predictions: Iterable[Tensor]) -> Uncertainty:
    """What many answers to the same images say, one after the other: none of them is kept.

    Args:
        predictions: (N, K) probabilities each, two or more; a tensor (S, N, K) is such a row, too.

    Raises:
        ValueError: less than two answers, answers of different shapes, or rows that are no probabilities.
    """
    n_samples, total, square, each = 0, 0, 0, 0
    for probabilities in predictions:
        p = check_probabilities(probabilities)  # float64: a variance is a small difference of large sums
        if n_samples and p.shape != total.shape:
            raise ValueError(f"all answers have one shape, not {tuple(total.shape)} and {tuple(p.shape)}")
        total, square, each = total + p, square + p.square(), each + entropy(p)
        n_samples += 1
    check_integer(n_samples, "there are 2 answers or more", least=2)
    mean = total / n_samples
    variance = (square / n_samples - mean.square()).clamp(min=0)
    like = probabilities.dtype
    return Uncertainty(
        mean.to(like), variance.to(like), entropy(mean).to(like), (each / n_samples).to(like), n_samples
    )


def samples(
    model: nn.Module, images: Tensor, *, n_samples: int = 50, seed: int = 0, batch: int = 32
) -> Iterator[Tensor]:
    """One answer after the other: (N, K) probabilities, each by another thinned network.

    Args, Raises: as `predict`; 1 sample is enough. Arguments are checked now, not with the first sample.
    """
    check_images(images)
    check_not_compiled(model)
    check_integer(n_samples, "n_samples is a whole number, 1 or more")
    check_integer(batch, "a pass takes 1 image or more")
    if not all_finite(images):
        raise ValueError("an image holds a number that is not finite (nan or inf)")
    return _sample_one_by_one(model, images, n_samples, seed, batch)


def _sample_one_by_one(
    model: nn.Module, images: Tensor, n_samples: int, seed: int, batch: int
) -> Iterator[Tensor]:
    random = torch.Generator().manual_seed(seed)
    with preserved(model, grad=False), _dropout_on(model, seed, images.device):
        parts, rest = _deterministic_prefix(model, [part.clone() for part in images.detach().split(batch)])
    for _ in range(n_samples):
        start = int(torch.randint(2**62, (), generator=random))
        with preserved(model, grad=False), _dropout_on(model, start, images.device) as drop:
            outputs = [rest(part.clone()) for part in parts]
        if not drop.n_active:
            raise ValueError(
                "the model drops nothing (no nn.Dropout or F.dropout with p above 0 ran): every answer "
                "would be the same. Build it with dropout, such as the course's `encoder`"
            )
        if not all(isinstance(part, Tensor) and part.dim() == 2 for part in outputs):
            given = [
                tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__ for part in outputs
            ]
            raise ValueError(f"(N, classes) logits are wanted, and the model gave {given[0]}")
        logits = torch.cat(outputs)
        if len(logits) != len(images) or not all_finite(logits):
            raise ValueError(
                f"finite logits for each of {len(images)} images are wanted, and the model gave "
                f"{len(logits)} rows" + ("" if all_finite(logits) else " with nan or inf")
            )
        yield logits.softmax(dim=1)


def _deterministic_prefix(model: nn.Module, parts: list[Tensor]) -> tuple[list[Tensor], Callable]:
    """What every answer begins with, computed once, and what is left to do with it.

    The layers of a row (nn.Sequential) before the first one that draws a random number give the same in every
    pass. Any other model, or one that is watched from outside, is left whole.
    """
    watched = model._forward_hooks or model._forward_pre_hooks
    own = getattr(model.forward, "__func__", None)  # of its class, or put into this very model
    is_plain = isinstance(model, nn.Sequential) and own is nn.Sequential.forward and not watched
    if not is_plain or parts[0].device.type != "cpu":
        return parts, model
    layers, x, n_shared = list(model), parts[0].clone(), 0
    for layer in layers:
        state = torch.get_rng_state()
        x = layer(x)
        if not torch.equal(torch.get_rng_state(), state):
            break
        n_shared, n_bytes = n_shared + 1, x.nbytes
    if not n_shared or n_bytes * len(parts) > max(_MAX_CACHED, sum(part.nbytes for part in parts)):
        return parts, model
    first, rest = nn.Sequential(*layers[:n_shared]), nn.Sequential(*layers[n_shared:])
    return [first(part.clone()) for part in parts], rest


def entropy(probabilities: Tensor) -> Tensor:
    """Of each row, in nats: 0 where one class has it all, log K where all K are alike.

    >>> entropy(torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
    tensor([0.0000, 0.6931])
    """
    return torch.special.entr(probabilities).sum(dim=-1)


class _DropoutMode(TorchFunctionMode):
    """Every dropout that runs, drops: nn.Dropout in eval mode calls F.dropout, too, with training=False."""

    def __init__(self, inside: bool):
        super().__init__()
        self.n_active = int(inside)

    def __torch_function__(self, func, types, args=(), kwargs=None):  # noqa: ARG002
        kwargs = dict(kwargs or {})
        if func in _DROPOUTS or func in _LOW_LEVEL_DROPOUTS:
            p = args[1] if len(args) > 1 else kwargs.get("p", 0.5)
            self.n_active += p > 0
            name = "training" if func in _DROPOUTS else "train"
            args = (*args[:2], True, *args[3:]) if len(args) > 2 else args
            kwargs |= {} if len(args) > 2 else {name: True}
        return func(*args, **kwargs)


@contextmanager
def _dropout_on(model: nn.Module, seed: int, device: torch.device) -> Iterator[_DropoutMode]:
    """Inside the block dropout is on, and drops by this seed; then the old random state is back.

    To be used inside `preserved`, which puts the modes back.
    """
    # Dropout between the layers of an LSTM, or within attention, is in no function of its own. These modules
    # ask their mode about nothing else.
    inside = [
        part
        for part in model.modules()
        if isinstance(part, nn.MultiheadAttention | nn.RNNBase)
        and part.dropout > 0
        and getattr(part, "num_layers", 2) > 1
    ]
    for part in inside:
        part.training = True
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        with _DropoutMode(bool(inside)) as mode:
            yield mode
