"""The training loop: it learns, it can be stopped, it repeats itself, and it leaves everything else alone."""

import copy

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from cnnlab.data.labelled import Labelled
from cnnlab.nets import deep, models
from cnnlab.nets.training import history, train
from cnnlab.nets.training.train import evaluate, fit


@pytest.fixture
def stripes() -> Labelled:
    """Two classes that a small net tells apart: bright left halves, bright right halves."""
    random = torch.Generator().manual_seed(3)
    images = 0.2 * torch.rand(60, 1, 6, 6, generator=random)
    labels = torch.arange(60) % 2
    images[labels == 0, :, :, :3] += 0.7
    images[labels == 1, :, :, 3:] += 0.7
    return Labelled(images, labels, ("left", "right"))


def small(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(48, 2)
    ).eval()


@pytest.mark.parametrize("optimiser", ("adam", "sgd"))
@pytest.mark.parametrize("schedule", ("constant", "one-cycle"))
def test_it_learns(stripes, optimiser, schedule):
    model = small()
    before, _ = evaluate(model, stripes)
    history = fit(
        model,
        stripes,
        stripes,
        epochs=6,
        batch=16,
        learning_rate=0.02,
        optimiser=optimiser,
        schedule=schedule,
    )
    after, right = evaluate(model, stripes)
    assert right == 1 and after < before / 2
    assert len(history.loss) == len(history.accuracy) == len(history.val_loss) == len(history.seconds) == 6
    assert len(history.step_loss) == 6 * 4 and history.stopped == "finished"
    assert history.seconds == sorted(history.seconds) and history.step_loss[0] > history.step_loss[-1]


def test_evaluate_against_a_loop(stripes):
    model = small()
    logits = torch.cat([model(image[None]) for image in stripes.images])
    loss = -sum(row.log_softmax(0)[label] for row, label in zip(logits, stripes.labels, strict=True)) / 60
    right = sum(int(row[label] == row.max()) for row, label in zip(logits, stripes.labels, strict=True)) / 60
    assert evaluate(model, stripes, batch=7) == (pytest.approx(loss.item(), abs=1e-6), pytest.approx(right))


def test_first_step_of_plain_descent_against_the_formula(stripes):
    """One step of Nesterov momentum from rest moves by rate * 1.9 * gradient."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    weight = model[1].weight.detach().clone()
    loss = nn.functional.cross_entropy(model(stripes.images), stripes.labels)
    (gradient,) = torch.autograd.grad(loss, model[1].weight)
    fit(model, stripes, epochs=1, batch=60, learning_rate=0.1, optimiser="sgd", keep="last")
    assert torch.allclose(model[1].weight, weight - 0.19 * gradient, atol=1e-6)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(stripes):
    def weights(seed):
        model = small(dropout=0.5)
        fit(model, stripes, epochs=2, batch=16, seed=seed)
        return model[5].weight

    first = weights(0)
    torch.rand(17)  # the global state may be anything
    assert torch.equal(first, weights(0)) and not torch.equal(first, weights(1))


class Functional(nn.Module):
    """Its layers draw nothing; its forward does."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.out = nn.Linear(36, 2)

    def forward(self, x):
        return self.out(nn.functional.dropout(x.flatten(1), 0.5, self.training))


class Remembering(nn.Module):
    """Its dropout is between the two layers of an LSTM."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.out = nn.Sequential(nn.Flatten(2), nn.LSTM(36, 4, 2, dropout=0.5, batch_first=True))
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.out(x)[0][:, -1])


class Row(nn.Sequential):
    """A row of layers with a forward of its own."""

    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.5, self.training))


def row():
    torch.manual_seed(1)
    return Row(nn.Flatten(), nn.Linear(36, 2))


@pytest.mark.parametrize("made", (Functional, Remembering, row, lambda: nn.Sequential(Functional())))
def test_dropout_that_is_no_layer_is_seeded_too_and_the_global_state_left_alone(stripes, made):
    weights = []
    for seed in (0, 0, 1):
        model = made()
        torch.rand(seed + len(weights))  # the global state may be anything
        state = torch.get_rng_state()
        fit(model, stripes, epochs=1, batch=60, seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        weights.append(torch.cat([weight.flatten() for weight in model.parameters()]))
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_an_lstm_alone_draws_only_with_dropout_between_its_layers():
    for options, draws in (({}, False), ({"dropout": 0.5}, True)):
        assert history._draws(nn.Sequential(nn.LSTM(4, 4, 2, **options))) is draws
        assert history._draws(nn.Sequential(nn.MultiheadAttention(4, 2, **options))) is draws
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0)  # its `dropout` is a layer, no number
    assert history._draws(layer)
    assert not history._draws(deep.deep(5)) and history._draws(deep.dense(dropout=0.1))


def test_everything_else_is_left_alone(stripes):
    model, images = small(dropout=0.5), stripes.images.clone()
    model[0].train()  # an odd mixture of modes
    modes = [module.training for module in model.modules()]
    gradient = torch.rand_like(model[0].weight)
    model[0].weight.grad = gradient.clone()
    state = torch.get_rng_state()
    fit(model, stripes, stripes, epochs=1, batch=16)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(images, stripes.images)
    assert torch.equal(model[0].weight.grad, gradient) and model[5].weight.grad is None
    assert model[0].weight.is_contiguous()


def test_an_interruption_keeps_the_best_so_far_and_raises_nothing(stripes, tmp_path):
    model, file = small(), tmp_path / "best.safetensors"
    kept = []

    def callback(history):
        kept.append(copy.deepcopy(model.state_dict()))
        if len(history.loss) == 3:
            raise KeyboardInterrupt

    history = fit(model, stripes, stripes, epochs=50, batch=16, callback=callback, save=file)
    assert history.stopped == "interrupted" and len(history.loss) == 3
    best = 1 + min(range(3), key=lambda k: history.val_loss[k])
    assert history.best == best
    for name, value in model.state_dict().items():
        assert torch.equal(value, kept[best - 1][name]) and torch.equal(value, load_file(file)[name])
    assert not model.training and [path.name for path in tmp_path.iterdir()] == ["best.safetensors"]


def test_an_error_in_the_watcher_is_raised_and_the_model_is_whole(stripes):
    model = small()

    def callback(history):
        raise RuntimeError("the page is gone")

    with pytest.raises(RuntimeError, match="the page is gone"):
        fit(model, stripes, epochs=3, batch=16, callback=callback)
    assert not model.training and evaluate(model, stripes)[0] > 0


def test_the_watcher_can_stop_between_two_epochs_and_within_one(stripes):
    history = fit(small(), stripes, epochs=50, batch=16, callback=lambda history: len(history.loss) == 2)
    assert history.stopped == "watcher" and len(history.loss) == 2
    history = fit(small(), stripes, epochs=50, batch=16, callback=lambda history: True, callback_every=3)
    assert history.stopped == "watcher" and len(history.step_loss) == 3 and history.best == 0


def test_early_stopping_waits_for_its_patience_and_takes_the_best_back(stripes):
    wrong = stripes._replace(labels=1 - stripes.labels)  # the better it learns, the worse it gets here
    model = small()
    history = fit(model, stripes, wrong, epochs=50, batch=16, learning_rate=0.02, patience=3)
    assert history.stopped == "early"
    lowest = 1 + min(range(len(history.val_loss)), key=lambda k: history.val_loss[k])
    assert len(history.loss) == lowest + 3 and history.best == lowest
    assert evaluate(model, wrong)[0] == pytest.approx(history.val_loss[lowest - 1], rel=1e-4)


def test_a_loss_that_is_no_number_stops_the_training_and_the_weights_stay_numbers(stripes):
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    broken = stripes._replace(images=stripes.images.clone())
    broken.images[5] = float("nan")
    history = fit(model, broken, epochs=5, batch=16)
    assert history.stopped == "diverged" and model[1].weight.isfinite().all()


def test_snapshots_are_copies_from_epoch_zero_on(stripes):
    model = small()
    first = model[0].weight.detach().clone()
    history = fit(model, stripes, epochs=2, batch=16, snapshots=("0.weight",))
    assert [epoch for epoch, _ in history.snapshots] == [0, 1, 2]
    assert torch.equal(history.snapshots[0][1]["0.weight"], first)
    assert not torch.equal(history.snapshots[1][1]["0.weight"], history.snapshots[2][1]["0.weight"])


def test_a_single_picture_left_over_does_not_break_batch_normalisation(stripes):
    cut = Labelled(stripes.images[:17], stripes.labels[:17], stripes.classes)
    assert len(fit(small(), cut, epochs=2, batch=16).step_loss) == 2
    with pytest.raises(ValueError):  # torch's own refusal: nothing can be learned from one number
        fit(
            nn.Sequential(nn.Flatten(), nn.BatchNorm1d(36)),
            Labelled(cut.images[:1], cut.labels[:1], ()),
            epochs=1,
        )


def test_half_precision_learns_the_same(stripes):
    model = small()
    fit(model, stripes, epochs=6, batch=16, learning_rate=0.02, bfloat16=True)
    assert evaluate(model, stripes)[1] == 1 and model[0].weight.dtype == torch.float32


def test_vectors_train_too_and_nothing_cannot_be_judged(stripes):
    flat = stripes._replace(images=stripes.images.flatten(1))
    model = nn.Linear(36, 2)
    fit(model, flat, epochs=8, batch=16, learning_rate=0.05)
    assert evaluate(model, flat)[1] == 1
    with pytest.raises(ValueError, match="no images"):
        evaluate(model, Labelled(flat.images[:0], flat.labels[:0], ()))


def test_float64_trains(stripes):
    model = small().double()
    double = stripes._replace(images=stripes.images.double())
    fit(model, double, double, epochs=4, batch=16, learning_rate=0.02)
    assert evaluate(model, double)[1] == 1


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    (
        ({"epochs": 0}, ValueError, "epochs is a whole number"),
        ({"batch": -1}, ValueError, "batch is a whole number"),
        ({"epochs": 1.5}, ValueError, "epochs is a whole number"),
        ({"batch": True}, ValueError, "batch is a whole number"),
        ({"learning_rate": float("inf")}, ValueError, "learning_rate must be above 0"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate must be above 0"),
        ({"optimiser": "adamm"}, LookupError, "Did you mean 'adam'"),
        ({"schedule": "cosine"}, LookupError, "constant, one-cycle"),
        ({"keep": "first"}, LookupError, "best, last"),
        ({"snapshots": ("conv1.weight",)}, LookupError, "no parameter 'conv1.weight'"),
    ),
)
def test_impossible_wishes_are_refused_before_anything_changes(stripes, options, kind, text):
    model = small()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(kind, match=text):
        fit(model, stripes, **options)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_labels_and_pictures_that_do_not_fit_are_refused(stripes):
    with pytest.raises(ValueError, match="60 labels, 59 images"):
        fit(small(), stripes._replace(images=stripes.images[:59]))
    digits = Labelled(torch.zeros(2, 1, 28, 28), torch.tensor([0, 10]), ())
    with pytest.raises(ValueError, match="a label is 10, but the model has 10 outputs"):
        fit(models.build("simpleconvnet"), digits)


def test_a_full_disk_while_saving_is_raised_and_the_model_holds_what_it_learned(
    stripes, tmp_path, monkeypatch
):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cnnlab.atomic_files.tempfile.mkstemp", full)
    model = small()
    with pytest.raises(OSError, match="No space left"):
        fit(model, stripes, stripes, epochs=3, batch=16, save=tmp_path / "best.safetensors")
    assert not model.training and evaluate(model, stripes)[0] < evaluate(small(), stripes)[0]


def test_progress_is_a_line_for_each_epoch(stripes, capsys):
    train.fit(small(), stripes, stripes, epochs=2, batch=16, progress=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[1].startswith("epoch 2/2: loss") and "validation" in lines[1]
