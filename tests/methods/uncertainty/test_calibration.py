"""Calibration by hand, and the area under the ROC curve against scikit-learn."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from cnnlab.methods.uncertainty.calibration import auroc, calibration


def test_four_answers_by_hand():
    p = torch.tensor([[0.55, 0.45], [0.95, 0.05], [0.1, 0.9], [0.95, 0.05]])
    found = calibration(p, torch.tensor([1, 0, 1, 1]), bins=2)
    # One bin holds all: confidence (0.55 + 0.95 + 0.9 + 0.95) / 4, two of four right.
    assert found.count.tolist() == [0, 4]
    assert found.confidence[1].item() == pytest.approx(0.8375) and found.accuracy[1].item() == 0.5
    assert found.confidence[0].isnan() and found.error == pytest.approx(0.3375)
    ten = calibration(p, torch.tensor([1, 0, 1, 1]), bins=10)
    assert ten.count[[5, 8, 9]].tolist() == [1, 1, 2]  # 0.9 is the upper edge of the ninth bin
    assert ten.error == pytest.approx((0.55 + 0.1 + 2 * 0.45) / 4, abs=1e-6)


def test_a_bin_holds_its_upper_edge():
    p = torch.tensor([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]])  # exact in binary
    assert calibration(p, torch.zeros(3, dtype=torch.int64), bins=4).count.tolist() == [0, 1, 1, 1]


def test_an_honest_forecaster_has_hardly_an_error():
    random = torch.Generator().manual_seed(0)
    p = torch.softmax(2 * torch.randn(20000, 4, generator=random), dim=1)
    labels = torch.multinomial(p, 1, generator=random)[:, 0]
    assert calibration(p, labels).error < 0.02
    boastful = torch.softmax(3 * p.log(), dim=1)
    assert calibration(boastful, labels).error > 0.1


def test_shapes_and_logits_are_refused():
    with pytest.raises(ValueError, match="belong|probabilities"):
        calibration(torch.rand(3), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="softmax"):
        calibration(torch.tensor([[2.0, -1.0]]), torch.tensor([0]))
    with pytest.raises(ValueError, match="bins"):
        calibration(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), bins=0)


def test_labels_that_belong_to_no_column_are_refused_and_not_counted_as_wrong():
    p = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    for labels in ([0, 2], [-1, 1]):
        with pytest.raises(ValueError, match="from 0 to 1"):
            calibration(p, torch.tensor(labels))
    with pytest.raises(ValueError, match="whole number"):
        calibration(p, torch.tensor([0.0, 1.0]))
    for rows in (p * torch.nan, p[:0], torch.tensor([[1, 0]])):
        with pytest.raises(ValueError, match="probabilities"):
            calibration(rows, torch.zeros(len(rows), dtype=torch.int64))


def test_half_precision_and_a_graph_give_the_same():
    p, labels = torch.tensor([[0.75, 0.25], [0.375, 0.625]]), torch.tensor([0, 0])
    wanted = calibration(p, labels).error
    assert calibration(p.half(), labels).error == wanted == calibration(p.bfloat16(), labels).error
    found = calibration(p.clone().requires_grad_(), labels)
    assert found.error == wanted and not found.confidence.requires_grad
    thousand = torch.rand(4, 1000).softmax(dim=1).half()  # adds up to 1 only roughly
    assert calibration(thousand, torch.zeros(4, dtype=torch.int64)).count.sum() == 4
    assert auroc(p[0].double(), p[1].requires_grad_()) == 0.5 and auroc(p[0] > 0.5, p[0] > 0) == 0.75


@pytest.mark.parametrize("seed", range(5))
def test_auroc_against_scikit_learn_with_ties(seed):
    random = torch.Generator().manual_seed(seed)
    inside = torch.randint(8, (30,), generator=random).float()
    outside = torch.randint(3, 11, (17,), generator=random).float()
    truth = [0] * 30 + [1] * 17
    wanted = roc_auc_score(truth, torch.cat([inside, outside]).numpy())
    assert auroc(inside, outside) == pytest.approx(wanted)
    assert auroc(outside, inside) == pytest.approx(1 - wanted)


def test_auroc_refuses_empty_groups_and_nan():
    with pytest.raises(ValueError, match="two groups"):
        auroc(torch.ones(0), torch.ones(1))
    with pytest.raises(ValueError, match="nan"):
        auroc(torch.ones(1), torch.tensor([torch.nan]))
