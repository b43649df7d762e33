"""The four-filter "network" of lecture 00: its answers, and an explanation that leaves nothing out."""

import pytest
import torch

from cnnlab.methods import edges


def stripes(direction, size=24, period=6):
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    along = {"horizontal": rows, "vertical": columns, "rising": rows + columns, "falling": rows - columns}
    return ((along[direction] % period) < 1).float()[None, None].expand(1, 3, -1, -1).clone()


@pytest.mark.parametrize("direction", edges.DIRECTIONS)
def test_stripes_are_called_by_their_direction(direction):
    shares = edges.shares(stripes(direction))
    assert edges.DIRECTIONS[shares.argmax()] == direction
    assert shares.sum().item() == pytest.approx(1)


def test_turning_the_picture_by_90_degrees_swaps_the_scores():
    image = torch.rand(2, 3, 15, 15)
    turned = edges.scores(image.rot90(1, dims=(2, 3)))
    torch.testing.assert_close(turned, edges.scores(image)[:, [2, 3, 0, 1]])


@pytest.mark.parametrize("channels", (1, 3))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_the_heatmap_sums_to_the_score(channels, dtype):
    image = torch.rand(3, channels, 9, 12, dtype=dtype)
    for k, direction in enumerate(edges.DIRECTIONS):
        heatmap = edges.heatmap(image, direction)
        assert heatmap.shape == (3, 1, 9, 12) and heatmap.dtype == dtype
        torch.testing.assert_close(heatmap.sum(dim=(1, 2, 3)), edges.scores(image)[:, k])


def test_the_score_by_a_plain_loop():
    grey = torch.rand(6, 5, dtype=torch.float64)
    line = torch.tensor([[-1, 2, -1]] * 3, dtype=torch.float64)
    answers = [(grey[i : i + 3, j : j + 3] * line).sum() ** 2 for i in range(4) for j in range(3)]
    torch.testing.assert_close(edges.scores(grey[None, None])[0, 2], torch.stack(answers).mean())


def test_image_untouched():
    image = torch.rand(1, 3, 8, 8)
    before = image.clone()
    edges.heatmap(image, "rising")
    edges.shares(image)
    assert torch.equal(image, before)


def test_bad_input_says_what_to_do():
    with pytest.raises(LookupError, match="Did you mean 'vertical'"):
        edges.heatmap(torch.rand(1, 1, 5, 5), "vertcal")
    with pytest.raises(ValueError, match=r"image\[None\]"):
        edges.maps(torch.rand(3, 8, 8))
    with pytest.raises(ValueError, match="plain colour"):
        edges.shares(torch.full((1, 3, 8, 8), 0.5))
