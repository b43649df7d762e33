"""Summaries of sweeps: the means are those of the file, and what diverged is counted, not dropped."""

import pytest

from cnnlab.nets.training import sweep_results, sweeps


def test_a_mean_is_that_of_all_seeds_in_the_file():
    found = sweep_results.runs("depth", residual=False, depth=11)
    rows = [
        row
        for row in sweeps.load("depth")
        if row["depth"] == 11 and not row["residual"] and row["epoch"] == 8
    ]
    assert len(rows) == len(found.finished) == 3 and found.diverged == 0
    assert found.end("loss") == pytest.approx(sum(row["loss"] for row in rows) / 3)
    assert sorted(found.ends("loss")) == sorted(row["loss"] for row in rows)
    assert found.curve("loss")[-1] == pytest.approx(found.end("loss")) and len(found.curve("loss")) == 8


@pytest.mark.parametrize("epochs", (0, 2))
def test_what_diverged_is_counted_and_in_no_mean(monkeypatch, epochs):
    rows = [
        {
            "residual": True,
            "depth": 5,
            "seed": seed,
            "epoch": epoch,
            "loss": float(seed),
            "stopped": "finished",
        }
        for seed in (0, 2)
        for epoch in (2, 1, 3)
    ] + [
        {"residual": True, "depth": 5, "seed": 1, "epoch": epoch, "loss": 9.0, "stopped": "diverged"}
        for epoch in range(1, epochs + 1)
    ]
    monkeypatch.setattr(sweep_results, "_rows", lambda _name: rows)
    found = sweep_results.runs("depth", residual=True, depth=5)
    assert found.diverged == 1 and found.ends("loss") == [0.0, 2.0] and found.curve("loss") == [1.0] * 3
    assert [row["epoch"] for row in found.finished[0]] == [1, 2, 3]


def test_trainings_of_different_lengths_have_a_mean_as_far_as_all_go():
    found = sweep_results.runs("remedies", regulariser="early stopping")
    lengths = [len(rows) for rows in found.finished]
    assert len(set(lengths)) > 1  # or this test says nothing
    curve = found.curve("val_loss")
    assert len(curve) == min(lengths)
    assert curve[-1] == pytest.approx(sum(rows[len(curve) - 1]["val_loss"] for rows in found.finished) / 3)


def test_a_column_that_is_not_there_is_refused():
    found = sweep_results.runs("depth", residual=True, depth=5)
    for ask in (found.curve, found.ends, found.end):
        with pytest.raises(LookupError, match="no column 'los'. Did you mean 'loss'"):
            ask("los")


def test_nothing_finished_is_not_a_number(monkeypatch):
    monkeypatch.setattr(sweep_results, "_rows", lambda _name: [])
    found = sweep_results.runs("depth", residual=True, depth=5)
    assert found.diverged == 3 and found.curve("loss") == [] and found.end("loss") != found.end("loss")


def test_a_setting_that_is_not_in_the_grid_is_refused():
    with pytest.raises(LookupError, match="sweep"):
        sweep_results.runs("width", width=3)
    with pytest.raises(LookupError, match="setting"):
        sweep_results.runs("depth", residual=True, depht=5)
    with pytest.raises(ValueError, match="one of 5, 11, 21, 41, not 7"):
        sweep_results.runs("depth", residual=True, depth=7)
    with pytest.raises(ValueError, match="say which depth"):
        sweep_results.runs("depth", residual=True)
