"""Spearman's rank correlation: against scipy, with ties, and what has no order."""

import pytest
import torch
from scipy.stats import rankdata, spearmanr

from cnnlab.methods.evaluation import rank_correlation


def scipys(one, other):
    return [
        spearmanr(a.sum(0).flatten().numpy(), b.sum(0).flatten().numpy()).statistic
        for a, b in zip(one.double(), other.double(), strict=True)
    ]


@pytest.mark.parametrize("levels", (2, 5, None))  # few levels: many ties
@pytest.mark.parametrize("channels", (1, 3))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_correlation_is_scipys(levels, channels, dtype):
    one, other = torch.randn(2, 5, channels, 9, 6, dtype=dtype)
    other = other + 0.5 * one
    if levels:
        one, other = (one * levels).round() / 4, (other * levels).round() / 4
    assert rank_correlation.spearman(one, other).tolist() == pytest.approx(scipys(one, other), abs=1e-12)
    sizes = (maps.double().sum(dim=1, keepdim=True).abs() for maps in (one, other))
    assert rank_correlation.spearman(one, other, absolute=True).tolist() == pytest.approx(
        scipys(*sizes), abs=1e-12
    )


def test_ranks_are_scipys_also_of_a_view():
    values = (torch.randn(20, 4) * 3).round()
    for rows in (values, values.T):
        expected = torch.tensor(rankdata(rows.numpy(), axis=1))
        torch.testing.assert_close(rank_correlation.ranks(rows), expected, rtol=0, atol=0)


def test_channels_may_differ_in_number_and_any_rising_function_changes_nothing():
    one, other = torch.randn(2, 3, 8, 8), torch.randn(2, 1, 8, 8)
    found = rank_correlation.spearman(one, other)
    assert found.shape == (2,) and found.dtype == torch.float64
    torch.testing.assert_close(found, rank_correlation.spearman(other.exp(), one))
    torch.testing.assert_close(found, -rank_correlation.spearman(one, -other))
    assert rank_correlation.spearman(one, one).tolist() == pytest.approx([1, 1])


def test_a_table_holds_every_pair_and_the_mean_over_pictures():
    maps = {name: torch.randn(4, channels, 6, 6) for name, channels in (("a", 3), ("b", 1), ("c", 3))}
    maps["c"] = maps["a"] * 2 + 0.3 * maps["c"]
    for absolute in (False, True):
        found = rank_correlation.spearman_matrix(maps, absolute=absolute)
        for i, one in enumerate(maps.values()):
            for j, other in enumerate(maps.values()):
                pair = rank_correlation.spearman(one, other, absolute=absolute).mean().item()
                assert found[i, j].item() == pytest.approx(pair)
        assert torch.equal(found.diag(), torch.ones(3).double()) and found[0, 2] > 0.7 > found[0, 1]


def test_what_has_no_order_is_refused_or_counts_what_was_asked():
    noise = torch.randn(3, 1, 4, 4)
    flat = noise.clone()
    flat[1] = 0.5
    with pytest.raises(ValueError, match="map 1 is 0.5 everywhere, so its pixels have no order.* constant="):
        rank_correlation.spearman(noise, flat)
    found = rank_correlation.spearman(noise, flat, constant=0.0)
    assert found.tolist() == pytest.approx([1, 0, 1]) and found[1] == 0
    assert rank_correlation.spearman(flat, noise, constant=-0.25)[1] == -0.25
    mean = rank_correlation.spearman_matrix({"noise": noise, "flat": flat}, constant=0.0)
    assert mean[0, 1].item() == pytest.approx(2 / 3) and mean.diag().tolist() == [1, 1]
    with pytest.raises(ValueError, match="flat: map 1 is 0.5 everywhere"):
        rank_correlation.spearman_matrix({"noise": noise, "flat": flat})
    signs = torch.tensor([[1.0, -1], [-1, 1]]).view(1, 1, 2, 2)  # an order, but not in size
    assert rank_correlation.spearman(signs, signs).item() == pytest.approx(1)
    assert rank_correlation.spearman(signs, signs, absolute=True, constant=0.0).item() == 0


def test_refusals():
    with pytest.raises(ValueError, match="maps of 8x8 for images of 4x4"):
        rank_correlation.spearman(torch.rand(1, 1, 4, 4), torch.rand(1, 1, 8, 8))
    with pytest.raises(ValueError, match="coarse: maps of 8x8"):
        rank_correlation.spearman_matrix({"fine": torch.rand(1, 1, 4, 4), "coarse": torch.rand(1, 1, 8, 8)})
    with pytest.raises(ValueError, match="at least one method"):
        rank_correlation.spearman_matrix({})
    with pytest.raises(ValueError, match="not finite"):
        rank_correlation.spearman(torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4) / 0)


def test_what_counts_for_a_map_without_an_order_is_what_was_given():
    maps = {"noise": torch.rand(2, 1, 4, 4), "flat": torch.full((2, 1, 4, 4), 0.5)}
    assert rank_correlation.spearman_matrix(maps, constant=-0.25)[0, 1].item() == pytest.approx(-0.25)
