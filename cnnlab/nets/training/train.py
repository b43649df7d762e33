"""One training loop for everything in the course.

Type: (model, train, validate) -> History. It can be watched while it runs, stopped, and run again from the
same seed. Whatever ends it, the model holds the best weights so far and nothing that was learned is lost.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlab.data.augment import Augmentation
from cnnlab.data.labelled import Labelled
from cnnlab.errors import unknown
from cnnlab.nets.training.history import Best, History, training

_OPTIMISERS = ("adam", "sgd")
_SCHEDULES = ("constant", "one-cycle")


def fit(
    model: nn.Module,
    train: Labelled,
    validate: Labelled | None = None,
    *,
    epochs: int = 10,
    batch: int = 64,
    optimiser: str = "adam",
    learning_rate: float = 5e-3,
    schedule: str = "constant",
    weight_decay: float = 0.0,
    smoothing: float = 0.0,
    augment: Augmentation | None = None,
    attack: Callable[[nn.Module, Tensor, Tensor], Tensor] | None = None,
    patience: int | None = None,
    keep: str = "best",
    bfloat16: bool = False,
    seed: int = 0,
    snapshots: Sequence[str] = (),
    callback: Callable[[History], bool | None] | None = None,
    callback_every: int | None = None,
    save: str | Path | None = None,
    progress: bool = False,
) -> History:
    """Train a classifier with the cross-entropy, in place.

    Args:
        model: (N, C, H, W) -> logits (N, K). Left in the mode (train or eval) in which it came.
        train, validate: images and labels, in memory.
        epochs: how often every image is seen.
        batch: images per step.
        optimiser: "adam", or "sgd" with Nesterov momentum 0.9.
        learning_rate: the highest one, where it changes.
        schedule: "constant", or "one-cycle": up for the first quarter of the steps and down to nearly zero.
        weight_decay: strength of the pull to zero, for weights; not for biases and batch normalisation.
        smoothing: share of the label that is spread over all classes.
        augment: makes other views of each batch; see `cnnlab.data.augment`.
        attack: (model, images, labels) -> images to learn from instead: adversarial training. It leaves the
            model as it came.
        patience: stop after so many epochs without a lower validation loss.
        keep: "best" (lowest validation loss; without a validation set the last) or "last".
        bfloat16: compute in half precision: about twice as fast, for long runs.
        seed: of the order, the augmentation and the dropout.
        snapshots: names of parameters to keep after every epoch, as "conv1.weight".
        callback: called with the history after every epoch; returning True stops the training.
        callback_every: call it every so many steps, too.
        save: a .safetensors file for the weights to keep, written anew whenever they get better.
        progress: print a line for each epoch.

    Returns:
        The history. KeyboardInterrupt ends the training as `callback` does, and is not raised again: what was
        learned up to that step stays (with keep="best", the best epoch comes back if there is one).

    Raises:
        ValueError: an impossible number, no images, or labels that the model has no output for.
        RuntimeError: another training that needs torch's random numbers is running in this process.
        LookupError: there is no such optimiser, schedule or parameter.
    """
    options = {
        "epochs": epochs,
        "batch": batch,
        "learning_rate": learning_rate,
        "smoothing": smoothing,
        "keep": keep,
    }
    options |= {"weight_decay": weight_decay, "patience": patience, "snapshots": snapshots}
    _refuse(model, train, validate, {**options, "optimiser": optimiser, "schedule": schedule})
    history, best = History(), Best(model, keep if validate is not None else "last", save)
    random = torch.Generator().manual_seed(seed)
    steps = epochs * len(_batches(len(train.labels), batch, random))
    random.manual_seed(seed)

    def call_back() -> None:
        if callback is not None and callback(history):
            raise _Stop("watcher")
        model.train()  # a watcher may have looked at it in eval mode

    with training(model, seed):
        stepper, plan = _stepper(model, optimiser, learning_rate, weight_decay, schedule, steps)
        began = time.perf_counter()
        history.snapshot(model, snapshots)
        try:
            for epoch in range(1, epochs + 1):
                total, right, seen = 0.0, 0, 0
                for chosen in _batches(len(train.labels), batch, random):
                    images, labels = train.images[chosen], train.labels[chosen]
                    if augment is not None:
                        images = augment(images, random)
                    if attack is not None:
                        images = attack(model, images, labels)
                    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                        logits = model(_channels_last(images))
                    loss = F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
                    if not loss.isfinite():
                        raise _Stop("diverged")  # before the step: the weights are still numbers
                    stepper.zero_grad()
                    loss.backward()
                    stepper.step()
                    plan.step()
                    history.step_loss.append(loss.item())
                    # Weighted by its images: a small last batch must not count as much as a full one.
                    total += loss.item() * len(chosen)
                    right += (logits.argmax(dim=1) == labels).sum().item()
                    seen += len(chosen)
                    if callback_every and len(history.step_loss) % callback_every == 0:
                        call_back()
                validation = evaluate(model, validate) if validate is not None else None
                history.note(total / seen, right / seen, validation, time.perf_counter() - began)
                history.snapshot(model, snapshots)
                best.update(history)
                if progress:
                    print(history.line(epochs), flush=True)
                call_back()
                if validation is not None and not math.isfinite(validation[0]):
                    raise _Stop("diverged")
                if patience is not None and epoch - best.lowest >= patience:
                    raise _Stop("early")
        except _Stop as why:
            history.stopped = str(why)
        except KeyboardInterrupt:
            history.stopped = "interrupted"
        finally:
            history.best = best.restore(history)
    return history


def evaluate(model: nn.Module, data: Labelled, batch: int = 500) -> tuple[float, float]:
    """(mean cross-entropy, share of right answers), in eval mode and without gradients.

    Args:
        model: left as it came.
        data: images and labels.
        batch: images per pass, which bounds the memory.

    Raises:
        ValueError: there are no images.
    """
    if not len(data.labels):
        raise ValueError("there are no images to be right about")
    modes = {module: module.training for module in model.modules()}
    model.eval()
    loss, right = 0.0, 0
    try:
        with torch.no_grad():
            for images, labels in zip(data.images.split(batch), data.labels.split(batch), strict=True):
                logits = model(images)
                loss += F.cross_entropy(logits, labels, reduction="sum").item()
                right += (logits.argmax(dim=1) == labels).sum().item()
    finally:
        for module, mode in modes.items():
            module.training = mode
    return loss / len(data.labels), right / len(data.labels)


class _Stop(Exception):
    """The watcher, the patience or a loss that is no number ends the training."""


def _channels_last(images: Tensor) -> Tensor:
    """The same numbers in the order in which convolutions are fastest."""
    return images.contiguous(memory_format=torch.channels_last) if images.dim() == 4 else images


def _batches(n: int, batch: int, random: torch.Generator) -> list[Tensor]:
    """The images of an epoch in a new order, in batches; a last one of a single image is left out.

    Batch normalisation cannot learn from a single image.
    """
    parts = torch.randperm(n, generator=random).split(batch)
    return [part for part in parts if len(part) > 1 or len(parts) == 1 or batch == 1]


def _stepper(model, optimiser, learning_rate, weight_decay, schedule, steps):
    # Only weights are pulled to zero. A bias or a scale of one number per channel has no reason to be small.
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if optimiser == "adam":
        stepper = torch.optim.AdamW(groups, learning_rate)
    else:
        stepper = torch.optim.SGD(groups, learning_rate, momentum=0.9, nesterov=True)
    factor = _one_cycle if schedule == "one-cycle" else lambda _step, _steps: 1.0
    return stepper, torch.optim.lr_scheduler.LambdaLR(stepper, lambda step: factor(step, steps))


def _one_cycle(step: int, steps: int) -> float:
    """The learning rate as a share of the highest one: up for a quarter of the steps, then down to nearly 0.

    Smith & Topin, Super-convergence, 2018, with the half cosines that torch.optim's OneCycleLR takes.
    """
    top = 0.25 * (steps + 1) - 1  # the step at which it is highest
    if step < top:
        start, end, done = 1 / 25, 1.0, step / top
    else:
        start, end, done = 1.0, 1 / 25e4, (step - max(top, 0)) / (steps - max(top, 0))
    return end + (start - end) * (1 + math.cos(math.pi * min(done, 1.0))) / 2


def _refuse(model, train, validate, options) -> None:
    """Everything that can be known to be wrong before the first step."""
    outputs = len(getattr(model, "classes", ())) or None
    for data in (train, validate) if validate is not None else (train,):
        images, labels = len(data.images), len(data.labels)
        if images == 0 or images != labels:
            raise ValueError(f"as many labels as images, at least one, not {labels} labels, {images} images")
        if data.labels.is_floating_point() or int(data.labels.min()) < 0:
            raise ValueError("labels are whole numbers from 0 on")
        most = int(data.labels.max())
        if outputs is not None and most >= outputs:
            raise ValueError(f"a label is {most}, but the model has {outputs} outputs, counted from 0")
    if validate is not None and not validate.images.sum().isfinite():
        raise ValueError("an image of the validation set holds a number that is not finite")
    for name in ("epochs", "batch", "patience"):
        number = 1 if options[name] is None else options[name]
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} is a whole number, 1 or more, not {number!r}")
    if not 0 < options["learning_rate"] < math.inf:
        raise ValueError(f"learning_rate must be above 0, and finite, but it is {options['learning_rate']}")
    if not 0 <= options["smoothing"] < 1 or not options["weight_decay"] >= 0:
        raise ValueError("smoothing is a share from 0 to below 1, weight_decay is 0 or more")
    if options["patience"] is not None and validate is None:
        raise ValueError("patience needs a validation set to lose it over")
    for kind, known in (("optimiser", _OPTIMISERS), ("schedule", _SCHEDULES), ("keep", ("best", "last"))):
        if options[kind] not in known:
            raise unknown(kind, options[kind], known)
    for name in options["snapshots"]:
        if name not in model.state_dict():
            raise unknown("parameter", name, model.state_dict())
