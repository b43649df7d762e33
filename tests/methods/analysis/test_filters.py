"""Scores of filters: on waves, noise and checkerboards whose answers are known."""

import numpy as np
import pytest
import torch

from cnnlab.methods.analysis import filters


def noise(n=400, c=3, k=7):
    return torch.randn(n, c, k, k, generator=torch.Generator().manual_seed(0))


def test_smoothness_of_known_patterns():
    board = (torch.arange(8)[:, None] + torch.arange(8)).remainder(2).float() * 2 - 1
    assert filters.smoothness(board[None, None]).item() == pytest.approx(-1)
    assert filters.smoothness(noise()).mean().abs() < 0.03
    wave = filters.gabor(31, 30, 30, width=12)
    assert filters.smoothness(wave[None, None]).item() > 0.95
    assert filters.smoothness(torch.ones(1, 1, 5, 5)).isnan().all()


def test_smoothness_against_a_loop():
    weight = noise(2, 2, 4)
    for f in range(2):
        above = below = 0.0
        for c in range(2):
            w = weight[f, c] - weight[f, c].mean()
            for i in range(4):
                for j in range(4):
                    for a, b in ((i, j + 1), (i + 1, j)):
                        if a < 4 and b < 4:
                            above += 2 * w[i, j] * w[a, b]
                            below += w[i, j] ** 2 + w[a, b] ** 2
        assert filters.smoothness(weight)[f].item() == pytest.approx((above / below).item(), abs=1e-5)


def test_scores_do_not_depend_on_strength_or_mean():
    weight = noise(5)
    other = 0.01 * weight + 3
    assert torch.allclose(filters.smoothness(weight), filters.smoothness(other), atol=1e-3)
    assert torch.allclose(filters.correlation(weight), filters.correlation(other), atol=1e-3)
    assert torch.allclose(filters.orientation(weight)[0], filters.orientation(other)[0], atol=0.5)


def test_correlation_against_numpy():
    weight = noise(6)
    expected = np.corrcoef(weight.flatten(1).numpy())
    assert np.allclose(filters.correlation(weight).numpy(), expected, atol=1e-6)
    assert filters.correlation(torch.ones(2, 1, 3, 3)).isnan().all()


def test_duplicates_and_dead_filters():
    weight = noise(6)
    weight[4] = 2 * weight[1] + 1
    weight[5] = -weight[0]  # the negative is another filter
    weight[2] *= 1e-3
    assert filters.duplicates(weight) == [(1, 4)] and filters.dead(weight) == [2]
    assert filters.duplicates(noise(6)) == [] and filters.dead(noise(6)) == []
    assert filters.dead(torch.zeros(3, 1, 2, 2)) == [0, 1, 2]


@pytest.mark.parametrize("angle", (0, 20, 45, 90, 135, 170))
@pytest.mark.parametrize("phase", (0, 90))
def test_orientation_finds_the_angle_of_a_gabor(angle, phase):
    weight = filters.gabor(15, angle, 7, width=3, phase=phase)[None, None].expand(1, 3, 15, 15)
    found, coherence = filters.orientation(weight)
    assert min(abs(found.item() - angle), 180 - abs(found.item() - angle)) < 3 and coherence.item() > 0.8


def test_orientation_of_lines_as_they_are_drawn():
    """A row of ones is a horizontal line: 0 degrees. The rising diagonal is 45."""
    rows, rising = torch.zeros(5, 5), torch.eye(5).flip(1)
    rows[2] = 1
    angles, coherence = filters.orientation(torch.stack([rows, rows.T, rising, torch.eye(5)])[:, None])
    assert torch.allclose(angles, torch.tensor([0.0, 90.0, 45.0, 135.0]), atol=1) and coherence.min() > 0.5


def test_a_blob_and_a_constant_have_no_direction():
    positions = torch.arange(9) - 4.0
    blob = torch.exp(-(positions[:, None] ** 2 + positions**2) / 8)
    _, coherence = filters.orientation(torch.stack([blob, torch.ones(9, 9)])[:, None])
    assert coherence.max() < 1e-6


def test_gabor_by_hand():
    kernel = filters.gabor(9, 0, 4, width=2)
    assert kernel[4, 4] == 1 and kernel[2, 4] == pytest.approx(-np.exp(-0.5), abs=1e-6)  # half a wave up
    assert torch.allclose(kernel, kernel.flip(0)) and torch.allclose(kernel, kernel.flip(1))
    edge = filters.gabor(9, 90, 8, phase=90)
    assert torch.allclose(edge, -edge.flip(1), atol=1e-6)
    with pytest.raises(ValueError, match="wavelength must be above 0"):
        filters.gabor(9, 0, 0)


def test_the_nearest_gabor_finds_its_like_and_not_noise():
    kernel = 0.3 * filters.gabor(7, 45, 7, width=7 / 4, phase=90) + 0.1
    found, alike = filters.nearest_gabor(kernel)
    assert alike > 0.999 and torch.allclose(found, kernel, atol=0.01)
    assert filters.nearest_gabor(noise(1, 1)[0, 0])[1] < 0.8


def test_wrong_shapes_are_refused_and_weights_are_left_alone():
    with pytest.raises(ValueError, match=r"\(F, C, K, K\), not \(5, 5\)"):
        filters.correlation(torch.zeros(5, 5))
    with pytest.raises(ValueError, match="have no neighbours"):
        filters.smoothness(torch.zeros(4, 3, 1, 1))
    for kernel in (torch.zeros(3, 4), torch.zeros(1, 1), torch.zeros(3)):
        with pytest.raises(ValueError, match="one square kernel"):
            filters.nearest_gabor(kernel)
    spoilt = noise(3)
    spoilt[1, 0, 0, 0] = float("nan")
    for function in (filters.smoothness, filters.correlation, filters.orientation, filters.dead):
        with pytest.raises(ValueError, match="not finite"):
            function(spoilt)
    weight = noise(3).requires_grad_()
    before = weight.detach().clone()
    for function in (filters.smoothness, filters.correlation, filters.orientation, filters.dead):
        function(weight)
    assert torch.equal(weight.detach(), before) and weight.grad is None
