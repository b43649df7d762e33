"""The training loop against one written out with torch's own parts: the same weights, the same history."""

import threading

import pytest
import torch
from torch import nn

from cnnlab.data.augment import geometric
from cnnlab.data.labelled import Labelled
from cnnlab.nets.training import train
from cnnlab.nets.training.train import evaluate, fit


@pytest.fixture
def data() -> Labelled:
    """Two classes of noise; 22 images, so that the last batch of 8 is smaller than the others."""
    random = torch.Generator().manual_seed(5)
    images = torch.rand(22, 1, 6, 6, generator=random)
    labels = torch.arange(22) % 2
    images[labels == 1, :, :3] += 0.3
    return Labelled(images, labels, ("below", "above"))


def net(dropout: float = 0.0, seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten()]
    drop = nn.Dropout(dropout) if dropout else nn.Identity()
    return nn.Sequential(*layers, drop, nn.Linear(48, 2)).eval()


def written_out(model, data, *, epochs, learning_rate, decay, smoothing, augment, seed):
    """Plain torch: OneCycleLR, SGD with Nesterov momentum, decay of weights alone. (losses, shares right)"""
    weights = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0}]
    stepper = torch.optim.SGD(groups, learning_rate, momentum=0.9, nesterov=True)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        stepper, learning_rate, total_steps=3 * epochs + 1, pct_start=0.25, cycle_momentum=False
    )
    order = torch.Generator().manual_seed(seed)
    losses, rights = [], []
    model.train()
    for _ in range(epochs):
        each_loss, right = torch.zeros(len(data.labels)), 0
        for chosen in torch.randperm(len(data.labels), generator=order).split(8):
            images = data.images[chosen] if augment is None else augment(data.images[chosen], order)
            logits = model(images)
            loss = nn.functional.cross_entropy(logits, data.labels[chosen], label_smoothing=smoothing)
            stepper.zero_grad()
            loss.backward()
            stepper.step()
            cycle.step()
            each_loss[chosen] = loss.item()
            right += int((logits.argmax(dim=1) == data.labels[chosen]).sum())
        losses.append(each_loss.mean().item())
        rights.append(right / len(data.labels))
    model.eval()
    return losses, rights


@pytest.mark.parametrize("augment", (None, geometric(flip=True, shift=1)))
def test_the_same_weights_and_the_same_history(data, augment):
    ours, torchs = net(), net()
    options = {"epochs": 4, "learning_rate": 0.1, "smoothing": 0.1, "augment": augment, "seed": 7}
    history = fit(ours, data, batch=8, optimiser="sgd", schedule="one-cycle", weight_decay=0.3, **options)
    losses, rights = written_out(torchs, data, decay=0.3, **options)
    for (name, one), other in zip(ours.state_dict().items(), torchs.state_dict().values(), strict=True):
        assert torch.allclose(one, other, atol=1e-5), name
    assert history.loss == pytest.approx(losses, abs=1e-5) and history.accuracy == pytest.approx(rights)


@pytest.mark.parametrize("steps", (8, 9, 40, 121))
def test_the_rates_of_one_cycle_are_torchs(steps):
    stepper = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.4)
    # torch counts the rate after the last step, too, which no step uses: one more in all.
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        stepper, 0.4, total_steps=steps + 1, pct_start=0.25, cycle_momentum=False
    )
    for step in range(steps):
        assert 0.4 * train._one_cycle(step, steps) == pytest.approx(cycle.get_last_lr()[0], rel=1e-6), step
        stepper.step()
        cycle.step()


def test_adam_pulls_weights_alone(data):
    """Where no gradient comes, decay alone shows: AdamW shrinks by rate * decay at every step."""
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(48, 2))
    with torch.no_grad():
        model[0].weight.fill_(0.5)
        model[2].weight.zero_()  # so nothing flows back to the first layer
    bias = model[0].bias.detach().clone()
    fit(model, data, epochs=1, batch=22, learning_rate=0.01, weight_decay=5)
    assert torch.allclose(model[0].weight, torch.full((3, 1, 3, 3), 0.5 * (1 - 0.05)))
    assert torch.equal(model[0].bias, bias)


def test_dropout_follows_the_seed_and_two_such_trainings_do_not_mix(data):
    first, second = net(0.5), net(0.5)
    fit(first, data, epochs=1, batch=8, seed=3)
    torch.manual_seed(99)
    fit(second, data, epochs=1, batch=8, seed=3)
    assert torch.equal(first[5].weight, second[5].weight)

    inside, leave = threading.Event(), threading.Event()

    def wait(history):
        inside.set()
        assert leave.wait(180)
        return True

    thread = threading.Thread(target=fit, args=(net(0.5), data), kwargs={"callback": wait, "batch": 8})
    thread.start()
    assert inside.wait(180)
    try:
        with pytest.raises(RuntimeError, match="another training with dropout"):
            fit(net(0.5), data, epochs=1)
        fit(net(0.0), data, epochs=1)  # without random numbers there is nothing to mix
    finally:
        leave.set()
        thread.join()
    fit(net(0.5), data, epochs=1, batch=8)  # and the way is free again


@pytest.mark.parametrize("end", ("watcher", "interrupted"))
def test_what_was_learned_up_to_the_step_of_the_stop_stays(data, end):
    model, seen = net(), []

    def callback(history):
        seen.append(model[5].weight.detach().clone())
        if len(history.step_loss) == 2:
            if end == "interrupted":
                raise KeyboardInterrupt
            return True

    history = fit(model, data, epochs=5, batch=8, learning_rate=0.05, callback=callback, callback_every=1)
    assert history.stopped == end and history.best == 0 and len(history.step_loss) == 2
    assert torch.equal(model[5].weight, seen[-1]) and not torch.equal(seen[0], seen[1])


def test_a_watcher_may_look_in_eval_mode(data):
    watched, alone = net(), net()
    fit(watched, data, epochs=2, batch=8, callback=lambda history: bool(watched.eval() is None))
    fit(alone, data, epochs=2, batch=8)
    assert torch.equal(watched[1].running_mean, alone[1].running_mean)
    assert evaluate(watched, data) == evaluate(alone, data)


@pytest.mark.parametrize(
    ("options", "text"),
    (
        ({"patience": 3}, "patience needs a validation set"),
        ({"patience": 0}, "patience is a whole number"),
        ({"patience": 1.5}, "patience is a whole number"),
        ({"smoothing": 1.0}, "smoothing is a share"),
        ({"weight_decay": -1.0}, "weight_decay is 0 or more"),
        ({"weight_decay": float("nan")}, "weight_decay is 0 or more"),
    ),
)
def test_numbers_that_make_no_sense_are_refused(data, options, text):
    with pytest.raises(ValueError, match=text):
        fit(net(), data, **options)


def test_labels_that_are_no_class_numbers_are_refused(data):
    for labels in (data.labels.float(), data.labels - 1):
        with pytest.raises(ValueError, match="whole numbers from 0 on"):
            fit(net(), data._replace(labels=labels))
    broken = data._replace(images=data.images.clone())
    broken.images[3, 0, 0, 0] = float("inf")
    with pytest.raises(ValueError, match="validation set holds a number that is not finite"):
        fit(net(), data, broken)
