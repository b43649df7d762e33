"""Sweeps: the shipped rows are those of their grids, and a run does the same again."""

import dataclasses
import re

import pytest
import torch

from cnnlab.course.running import run_sweep
from cnnlab.data import digits
from cnnlab.nets.training import sweep_results, sweeps
from cnnlab.nets.training.history import History


@pytest.mark.parametrize("name", sweeps.SWEEPS)
def test_the_shipped_rows_are_those_of_the_grid(name):
    rows, plan = sweeps.load(name), sweeps.SWEEPS[name]
    asked = {tuple(getattr(each, key) for key in plan.grid) for each in plan.settings()}
    there = {tuple(row[key] for key in plan.grid) for row in rows}
    assert there <= asked
    diverged = asked - there  # no epoch was finished: only where it may happen
    assert not diverged or name in ("rates", "gains")
    assert set(rows[0]) == {*plan.grid, *sweeps.Row._fields}
    for row in rows:
        assert 0 <= row["val_accuracy"] <= 1 and 1 <= row["epoch"] <= plan.fixed["epochs"]


def test_a_run_of_the_shipped_sweep_does_the_same_again():
    """Not bit for bit: other machines add in another order."""
    settings = next(sweeps.SWEEPS["dropout"].settings())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fresh = sweeps.run_one(settings)
    finally:
        torch.set_num_threads(threads)
    shipped = [row for row in sweeps.load("dropout") if row["dropout"] == 0 and row["seed"] == 0]
    assert len(fresh) == len(shipped) == settings.epochs
    assert fresh[-1].val_accuracy == pytest.approx(shipped[-1]["val_accuracy"], abs=0.03)
    assert fresh[0].loss == pytest.approx(shipped[0]["loss"], rel=0.02)


def test_the_same_seed_gives_the_same_and_another_seed_another():
    short = sweeps.Settings(digits=30, epochs=2, dropout=0.5)
    first, again, other = (sweeps.run_one(s) for s in (short, short, short._replace(seed=1)))
    assert first == again and first != other


def test_no_digit_both_teaches_and_judges():
    train, judge = sweeps.split(1042, 3)
    everyone = digits.load("train").images
    rows = {image.numpy().tobytes() for image in train.images}
    assert len(train.labels) == 1042 and len(judge.labels) == 400
    same = sum(image.numpy().tobytes() in rows for image in judge.images)
    alike = len(everyone) - len({image.numpy().tobytes() for image in everyone})
    assert same <= alike
    assert torch.equal(sweeps.split(10, 0)[1].images, judge.images)
    for wrong in (0, 1043, 2.5, True):
        with pytest.raises(ValueError, match="digits to learn from"):
            sweeps.split(wrong, 0)


def test_so_many_labels_are_wrong_and_the_pictures_are_the_same():
    train, _ = sweeps.split(200, 0)
    for share in (0.0, 0.2, 1.0):
        other = sweeps.mislabelled(train, share, seed=1)
        assert (other.labels != train.labels).sum() == round(share * 200)
        assert torch.equal(other.images, train.images) and other.labels.max() <= 9
    assert torch.equal(sweeps.mislabelled(train, 0.5, 1).labels, sweeps.mislabelled(train, 0.5, 1).labels)
    with pytest.raises(ValueError, match="label_noise is a fraction"):
        sweeps.mislabelled(train, 1.5, 0)


@pytest.mark.parametrize("remedy", sweeps.REGULARISERS)
def test_every_remedy_trains(remedy):
    rows = sweeps.run_one(sweeps.Settings(digits=20, epochs=1, regulariser=remedy))
    assert [row.epoch for row in rows] == [1] and 0 <= rows[0].test_accuracy <= 1


class Asked(Exception):
    """Ends a run before it trains."""


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, {"weight_decay": 0.0, "patience": None, "keep": "last", "schedule": "constant"}),
        ({"regulariser": "weight decay"}, {"weight_decay": 1.0, "patience": None, "augment": None}),
        ({"regulariser": "early stopping"}, {"weight_decay": 0.0, "patience": 5, "keep": "best"}),
        ({"net": "deep"}, {"schedule": "one-cycle", "keep": "last"}),
        (
            {"optimiser": "sgd", "learning_rate": 0.5, "epochs": 3, "seed": 4},
            {"learning_rate": 0.5, "epochs": 3, "seed": 4},
        ),
    ],
)
def test_a_setting_is_asked_of_the_training(monkeypatch, settings, wanted):
    def fit(*data, **options):
        raise Asked(options)

    monkeypatch.setattr(sweeps, "fit", fit)
    with pytest.raises(Asked) as asked:
        sweeps.run_one(sweeps.Settings(**settings))
    assert {key: asked.value.args[0][key] for key in wanted} == wanted


def test_augmentation_moves_the_pictures_of_the_training_alone(monkeypatch):
    seen = []
    monkeypatch.setattr(sweeps, "fit", lambda *data, augment, **_: seen.append((data, augment)) or History())
    sweeps.run_one(sweeps.Settings(regulariser="augmentation"))
    sweeps.run_one(sweeps.Settings(label_noise=0.2))
    ((_, train, judge), moved), ((_, plain, same), nothing) = seen
    images = train.images[:8]
    assert moved(images, torch.Generator()).shape == images.shape and nothing is None
    assert not torch.equal(moved(images, torch.Generator()), images)
    assert torch.equal(judge.images, same.images) and torch.equal(judge.labels, same.labels)
    assert (train.labels != plain.labels).sum() == 60  # of 300; those who judge have their right labels


def test_the_seed_decides_the_digits_and_the_weights():
    one, same, other = (sweeps.split(50, seed)[0].images for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    for net in ("dense", "deep"):
        made = [sweeps.network(sweeps.Settings(net=net, seed=seed)) for seed in (0, 0, 1)]
        first, again, else_ = (next(iter(each.parameters())) for each in made)
        assert torch.equal(first, again) and not torch.equal(first, else_)


def test_what_is_not_there_is_refused():
    with pytest.raises(LookupError, match="regulariser"):
        sweeps.run_one(sweeps.Settings(regulariser="prayer"))
    with pytest.raises(LookupError, match="net"):
        sweeps.run_one(sweeps.Settings(net="huge"))
    with pytest.raises(LookupError, match="sweep"):
        sweeps.load("all")


def test_a_dropout_that_would_not_be_there_or_be_another_is_refused():
    for settings in (
        sweeps.Settings(net="deep", dropout=0.5),
        sweeps.Settings(net="deep", regulariser="dropout"),
        sweeps.Settings(regulariser="dropout", dropout=0.3),
        sweeps.Settings(dropout=1.0),
    ):
        with pytest.raises(ValueError, match="dropout|rate 0.5"):
            sweeps.run_one(settings._replace(digits=10, epochs=1))
    assert sweeps.network(sweeps.Settings(regulariser="dropout")).drop1.p == 0.5


def test_what_is_shipped_says_what_the_lectures_say():
    """Depth hurts plain nets and helps residual ones; batch norm widens the rates; the best dropout."""

    def ends(name, column="val_accuracy", **setting):
        return sweep_results.runs(name, **setting).end(column)

    plain, residual = (
        [ends("depth", "loss", residual=kind, depth=depth) for depth in (11, 21, 41)]
        for kind in (False, True)
    )
    assert plain == sorted(plain) and residual == sorted(residual, reverse=True)
    rates = sweeps.SWEEPS["rates"].grid["learning_rate"]
    good = {
        norm: [r for r in rates if ends("rates", norm=norm, learning_rate=r) > 0.9] for norm in (True, False)
    }
    assert max(good[True]) >= 30 * min(good[True]) and not good[False]
    known = sweeps.SWEEPS["dropout"].grid["dropout"]
    assert max(known, key=lambda rate: ends("dropout", dropout=rate)) in (0.5, 0.6, 0.7)
    assert ends("dropout", dropout=0.0) < ends("dropout", dropout=0.6) - 0.05
    by_remedy = {each: ends("remedies", "test_accuracy", regulariser=each) for each in sweeps.REGULARISERS}
    assert min(by_remedy, key=by_remedy.get) == "nothing"


def test_the_parameters_of_the_notebook_are_the_settings():
    cell = next(cell for cell in run_sweep.notebook().cells if "parameters" in cell.metadata.get("tags", ()))
    names, values = {}, {"True": True, "False": False}
    for line in cell.source.splitlines():
        name, text = line.split(" = ")
        names[name.lower()] = values.get(text, sweeps._value(text.strip('"')))
    assert names == sweeps.Settings()._asdict()
    code = " ".join(cell.source for cell in run_sweep.notebook().cells if cell.cell_type == "code")
    given = re.search(r"sweeps\.Settings\(([^)]*)\)", code)[1]
    assert (
        tuple(name.strip().lower() for name in given.strip().rstrip(",").split(","))
        == sweeps.Settings._fields
    )


def test_a_sweep_by_papermill_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    tiny = sweeps.Sweep("?", {"dropout": (0.0, 0.5)}, {"epochs": 2, "digits": 20})
    monkeypatch.setitem(sweeps.SWEEPS, "tiny", tiny)
    said, real, runs = [], run_sweep.run, []

    def stopped(source, target, settings):
        if settings.dropout:
            raise KeyboardInterrupt
        runs.append(settings)
        return real(source, target, settings)

    monkeypatch.setattr(run_sweep, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_sweep.sweep("tiny", tmp_path / "tiny.csv", report=said.append)
    assert not (tmp_path / "tiny.csv").exists() and len(runs) == 1
    monkeypatch.setattr(run_sweep, "run", lambda *a: runs.append(a[2]) or real(*a))
    file = run_sweep.sweep("tiny", tmp_path / "tiny.csv", report=said.append)
    assert [each.dropout for each in runs] == [0.0, 0.5]
    lines = file.read_text().splitlines()
    assert lines[0] == "dropout,epoch,loss,accuracy,val_loss,val_accuracy,test_accuracy,stopped"
    assert len(lines) == 5 and lines[1].startswith("0,1,") and "1 of 2: dropout 0.0" in said[0]
    # Other settings: nothing is taken over.
    monkeypatch.setitem(sweeps.SWEEPS, "tiny", dataclasses.replace(tiny, fixed={"epochs": 1, "digits": 20}))
    assert len(run_sweep.sweep("tiny", file, report=said.append).read_text().splitlines()) == 3
    with pytest.raises(LookupError, match="sweep"):
        run_sweep.sweep("none", file)


def test_what_trains_nothing_is_measured_by_its_function(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setitem(
        run_sweep.MEASURED, "attacks", lambda file, report: calls.append((file, report)) or file
    )
    assert run_sweep.sweep("attacks", tmp_path / "a.csv", report=print) == tmp_path / "a.csv"
    assert calls == [(tmp_path / "a.csv", print)]


def test_a_file_that_could_not_be_written_is_refused_before_the_runs(tmp_path):
    with pytest.raises(ValueError, match="ends in .csv"):
        run_sweep.sweep("depth", tmp_path / "depth")
    assert not list(tmp_path.iterdir())
