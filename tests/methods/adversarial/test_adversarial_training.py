"""Adversarial training on a few digits: it helps against attacks, and can be stopped."""

import pytest
import torch
from explained_nets import CutShort

from cnnlab.course import attack_table
from cnnlab.data import digits
from cnnlab.data.labelled import Labelled
from cnnlab.methods.adversarial import adversarial_training, fgsm, linear_approximation, pgd, random_noise
from cnnlab.nets import models
from cnnlab.nets.training.train import fit


@pytest.fixture(scope="module")
def few():
    data = digits.load("train")
    return Labelled(data.images[:256], data.labels[:256], data.classes)


def test_hardened_digits_withstand_more_than_ordinary_ones(few):
    options = {"eps": 0.1, "epochs": 2, "n_eval": 50, "eval_steps": 4, "train": few}
    plain = adversarial_training(models.load("simpleconvnet"), attack="none", **options)
    hard = adversarial_training(models.load("simpleconvnet"), attack="pgd", steps=2, **options)
    assert len(hard.clean) == len(hard.attacked) == 2 and hard.stopped == "finished" and hard.eps == 0.1
    assert plain.clean[-1] > 0.8 and hard.clean[-1] > 0.8
    assert hard.attacked[-1] > plain.attacked[-1] + 0.15
    test = digits.load("test")
    x, y = test.images[:50], test.labels[:50]
    again = pgd(hard.model, x, 0.1, steps=4, labels=y)
    assert hard.attacked[-1] == pytest.approx(1 - float(again.success.double().mean()))
    assert all(not part.training for part in hard.model.modules())
    assert all(weight.grad is None and weight.requires_grad for weight in hard.model.parameters())


def test_the_training_can_be_watched_stopped_and_repeated(few):
    told = []
    options = {"epochs": 3, "n_eval": 20, "eval_steps": 1, "train": few, "attack": "fgsm"}
    chance = torch.get_rng_state()
    found = adversarial_training(
        callback=lambda clean, attacked: told.append((clean, attacked)) or True, **options
    )
    assert found.stopped == "watcher" and told == [(found.clean, found.attacked)]
    again = adversarial_training(callback=lambda *_: True, **options)
    assert torch.equal(chance, torch.get_rng_state())
    for one, other in zip(found.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(LookupError, match="no attack 'cw'"):
        adversarial_training(attack="cw")
    with pytest.raises(ValueError, match="n_eval"):
        adversarial_training(n_eval=0)
    with pytest.raises(ValueError, match="eps"):
        adversarial_training(eps=-1, train=few, epochs=1)


@pytest.mark.parametrize("attack", ("pgd", "fgsm"))
@pytest.mark.parametrize("last", (False, True))
def test_ctrl_c_in_an_attack_ends_the_training(attack, last, few):
    """Most of the time it hits an attack, which keeps what it has: the training went on for good."""
    options = {"attack": attack, "steps": 2, "epochs": 2, "n_eval": 20, "eval_steps": 2, "train": few}
    whole, cut = (CutShort(models.load("simpleconvnet"), 0) for _ in range(2))
    adversarial_training(whole, **options | {"epochs": 1})
    cut.n = whole.count[0] if last else 5  # the last pass of an epoch is of the attack that judges
    found = adversarial_training(cut, **options)
    assert found.stopped == "interrupted" and found.clean == found.attacked == []
    assert cut.count[0] < cut.n + 10


def test_each_batch_is_attacked_from_a_start_of_its_own(few, monkeypatch):
    seeds, real = [], pgd
    monkeypatch.setitem(
        adversarial_training.__globals__,
        "pgd",
        lambda *a, seed=0, **k: seeds.append(seed) or real(*a, seed=seed, **k),
    )
    for _ in range(2):
        adversarial_training(train=few, epochs=1, steps=1, n_eval=10, eval_steps=1)
    assert len(set(seeds[:4])) == 4 and seeds[:4] == seeds[5:9]  # the fifth is of the attack that judges


def test_half_an_attack_gives_no_row():
    net, x = CutShort(models.load("simpleconvnet"), 9), digits.load("test").images[:24]
    labels = net.model(x).argmax(1)
    with pytest.raises(KeyboardInterrupt):
        list(attack_table.rates(net, x, labels, "digits", batch=8))


def test_wrong_options_are_refused_before_an_epoch_is_spent(few):
    seen = []
    options = {"attack": "none", "train": few, "callback": lambda *_: seen.append(1)}
    bright = few._replace(images=few.images * 255)
    for change in ({"eps": -1}, {"eps": 8}, {"steps": 0}, {"eval_steps": 0}, {"test": bright}):
        with pytest.raises(ValueError):
            adversarial_training(**options | change)
    assert not seen


def test_the_table_is_not_measured_where_it_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(attack_table.models, "load", lambda *_: pytest.fail("minutes were spent before"))
    with pytest.raises(OSError):
        attack_table.measure(tmp_path)  # a folder


def test_fit_learns_from_what_the_attack_gives(few):
    """An attack that gives black images: nothing can be learned but one class."""
    seen = []

    def black(model, images, labels):
        seen.append((images.shape, labels, model.training))
        return torch.zeros_like(images)

    model = models.build("simpleconvnet")
    history = fit(model, few, epochs=1, batch=64, attack=black)
    assert len(seen) == 4 and seen[0][0] == (64, 1, 28, 28) and seen[0][2]
    assert history.accuracy[0] < 0.3
    with torch.no_grad():
        assert len(model(few.images[:50] * 0).argmax(1).unique()) == 1


# --- the shipped table ------------------------------------------------------------------------------------


def test_the_shipped_rates_are_whole_and_in_order():
    rows = attack_table.load()
    assert [row.eps255 for row in rows] == [1, 2, 4, 8] * 2 and len({row.source for row in rows}) == 2
    for row in rows:
        assert row.images >= 100 and 0 <= row.noise < row.fgsm <= row.pgd <= 1
        assert row.predicted >= row.within > 0 and row.measured > 0
    for four in (rows[:4], rows[4:]):
        assert four[0].predicted * 8 == pytest.approx(four[3].predicted, rel=1e-3)
        assert [row.pgd for row in four] == sorted(row.pgd for row in four)


def test_a_row_is_what_the_attacks_say():
    data = digits.load("test")
    net, x = models.load("simpleconvnet"), data.images[:24]
    with torch.no_grad():
        labels = net(x).argmax(1)
    row = next(attack_table.rates(net, x, labels, "digits"))
    assert (row.source, row.images, row.eps255) == ("digits", 24, 1)
    shares = [attack(net, x, 1 / 255, labels=labels).success_rate for attack in (random_noise, fgsm, pgd)]
    assert [row.noise, row.fgsm, row.pgd] == shares
    drop = linear_approximation(net, x, 1 / 255, labels=labels)
    assert row.measured == pytest.approx(float(drop.measured.mean()), rel=1e-5)
    with pytest.raises(ValueError, match="24 of 24 images are named wrongly"):
        next(attack_table.rates(net, x, (labels + 1) % 10, "wrong"))
