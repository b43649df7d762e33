"""Parametrisations and transforms: round trips, closed forms, naive moves."""

from random import Random

import pytest
import torch

from cnnlab.data import photos
from cnnlab.methods.dream import parametrisation, transforms
from cnnlab.methods.dream.parametrisation import Fourier, Pixel
from cnnlab.methods.dream.transforms import Warp, jitter, pad, rotate, scale

SPACES = (Pixel(), Pixel(decorrelate=True), Fourier(), Fourier(decorrelate=False), Fourier(decay_power=0))


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("size", ((16, 16), (15, 15), (9, 14), (14, 9)))
@pytest.mark.parametrize("channels", (1, 3))
def test_every_picture_can_be_made_and_every_start_is_one(space, size, channels):
    given = torch.rand(2, channels, *size, generator=generator(), dtype=torch.float64)
    made = space.to_image(space.from_image(given), size)
    assert made.shape == given.shape and (made - given).abs().max() <= 1 / 512 + 1e-9
    start = space.to_image(space.start(3, (channels, *size), generator()), size)
    assert (
        start.shape == (3, channels, *size) and 0.02 < start.min() < start.max() < 0.98 and start.std() > 0.01
    )
    one = space.start(1, (channels, *size), generator())
    torch.testing.assert_close(space.to_image(one, size), start[:1])


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_slopes_of_a_parametrisation_are_right(space):
    numbers = space.start(1, (3, 4, 5), generator()).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda n: space.to_image(n, (4, 5)), numbers)


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("size", ((6, 6), (5, 5), (4, 7), (7, 4), (2, 2)))
@pytest.mark.parametrize("channels", (1, 3))
def test_the_slope_by_hand_is_that_of_autograd(space, size, channels):
    numbers = space.start(2, (channels, *size), generator()).double().requires_grad_()
    image = space.to_image(numbers, size)
    down = torch.randn(image.shape, generator=generator(), dtype=torch.float64)
    (wanted,) = torch.autograd.grad(image, numbers, down)
    found = space.backward(down, image.detach())
    assert found.shape == numbers.shape and wanted.abs().max() > 1e-3
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)


def test_the_fourier_parametrisation_climbs_to_a_photo():
    photo, space = photos.load("cat", 32), Fourier()
    numbers = space.start(1, (3, 32, 32), generator()).requires_grad_()
    from cnnlab.nets.adam import Adam

    adam = Adam(numbers.detach(), 0.05)
    for _ in range(300):
        wrong = (space.to_image(numbers, (32, 32)) - photo).square().mean()
        adam.step(-torch.autograd.grad(wrong, numbers)[0])
    assert float(wrong.detach().sqrt()) < 0.03 < float(photo.std())


def test_a_wave_moves_in_steps_of_one_over_its_frequency():
    size, space = (8, 8), Fourier(decorrelate=False)
    for (row, col), frequency in {(0, 1): 1 / 8, (2, 0): 2 / 8, (3, 4): 5 / 8, (0, 0): 1 / 8}.items():
        numbers = torch.zeros(1, 1, 8, 5, 2, dtype=torch.float64)
        numbers[0, 0, row, col, 0] = 1e-3
        waves = torch.fft.fft2(space.to_image(numbers, size).logit(), norm="ortho")[0, 0]
        # The real image has the wave and its mirror image; where both are stored, irfft2 takes their mean.
        alone = col in (0, 4) and 2 * row % 8 == 0
        halved = 1 if alone or 0 < col < 4 else 0.5
        assert float(waves[row, col].real) == pytest.approx(halved * 1e-3 / frequency / 4)


def test_the_colours_are_those_of_the_photos():
    rows = []
    for name in photos.names():
        pixels = photos.load(name, 128)[0].flatten(1).double()
        if (pixels[0] - pixels[1]).abs().max() > 1e-3:  # a colour photo
            rows.append(pixels - pixels.mean(dim=1, keepdim=True))
    pixels = torch.cat(rows, dim=1)
    measured = pixels @ pixels.T / pixels.shape[1]
    stated = torch.tensor(parametrisation.COVARIANCE, dtype=torch.float64)
    assert (measured - stated).abs().max() < 1e-3
    axes = parametrisation.colour_axes()
    torch.testing.assert_close(axes @ axes.T / (axes @ axes.T)[0, 0], stated / stated[0, 0])
    white = axes.inverse() @ measured @ axes.inverse().T  # decorrelated, alike in every direction
    assert (white / white[0, 0] - torch.eye(3)).abs().max() < 0.05


def test_a_wrong_parametrisation_is_refused():
    assert parametrisation.get_parametrisation(
        "fourier"
    ) == Fourier() and parametrisation.get_parametrisation(Pixel(noise=1)) == Pixel(noise=1)
    with pytest.raises(LookupError, match="no parametrisation 'furier'. Did you mean 'fourier'"):
        parametrisation.get_parametrisation("furier")


# --- transforms --------------------------------------------------------------------------------------------


def random_image(rows=9, columns=9):
    return torch.rand(2, 3, rows, columns, generator=generator(), dtype=torch.float64)


def moved(x, *chain, padding_mode="mirror", seed=0):
    warp = Warp(chain, tuple(x.shape[2:]), seed=seed, padding_mode=padding_mode)
    return warp.view(x, warp.draw())


@pytest.mark.parametrize("shape", ((9, 9), (7, 12)))
@pytest.mark.parametrize("seed", range(4))
def test_jitter_is_a_crop_of_the_padded_picture(shape, seed):
    x = random_image(*shape)
    random = Random(seed)
    right, down = random.randint(-3, 3), random.randint(-3, 3)
    grey = torch.nn.functional.pad(x, (3, 3, 3, 3), value=0.5)
    edge = torch.nn.functional.pad(x, (3, 3, 3, 3), mode="replicate")
    rows, columns = slice(3 + down, 3 + down + shape[0]), slice(3 + right, 3 + right + shape[1])
    torch.testing.assert_close(moved(x, jitter(3), padding_mode="grey", seed=seed), grey[:, :, rows, columns])
    torch.testing.assert_close(moved(x, jitter(3), padding_mode="edge", seed=seed), edge[:, :, rows, columns])
    inner = (..., slice(3, -3), slice(3, -3))
    torch.testing.assert_close(moved(x, jitter(3), seed=seed)[inner], edge[:, :, rows, columns][inner])


def test_scale_and_rotation_by_hand():
    x = random_image()
    torch.testing.assert_close(moved(x, scale(1, 1)), x)
    torch.testing.assert_close(moved(x, rotate(0)), x)
    for turns in (1, 2, 3):
        torch.testing.assert_close(moved(x, rotate(90 * turns, 90 * turns)), x.rot90(turns, (2, 3)))
    large = moved(x, scale(2, 2))
    torch.testing.assert_close(large[..., ::2, ::2], x[..., 2:7, 2:7])
    torch.testing.assert_close(large[..., 0::2, 1::2], (x[..., 2:7, 2:6] + x[..., 2:7, 3:7]) / 2)


def test_pad_widens_the_view():
    x = random_image(5, 7)
    assert torch.allclose(
        moved(x, pad(2), padding_mode="grey"), torch.nn.functional.pad(x, (2, 2, 2, 2), value=0.5)
    )
    symmetric = torch.cat([x[..., :2].flip(3), x, x[..., -2:].flip(3)], dim=3)
    torch.testing.assert_close(moved(x, pad(2))[:, :, 2:-2], symmetric)
    assert moved(x, pad(1), pad(2)).shape == (2, 3, 11, 13)


def test_a_chain_is_its_parts_in_order():
    x = random_image(11, 11)
    ends = []
    for chain in ([rotate(90, 90), jitter(2)], [jitter(2), rotate(90, 90)]):
        step, random = x, Random(3)
        for part in chain:
            warp = Warp([part], (11, 11), padding_mode="grey")
            warp.random = random
            step = warp.view(step, warp.draw())
        ends.append(moved(x, *chain, padding_mode="grey", seed=3))
        torch.testing.assert_close(ends[-1], step)
    assert not torch.allclose(*ends)


def test_moves_come_from_their_own_seed():
    chain = transforms.standard(64)
    before = torch.get_rng_state()
    draws = [[warp.draw() for _ in range(5)] for warp in (Warp(chain, (8, 8), seed=s) for s in (1, 1, 2))]
    assert draws[0] == draws[1] != draws[2] and len(set(draws[0])) == 5
    assert torch.equal(before, torch.get_rng_state())
    assert Warp((), (8, 8)).draw() is None


def test_wrong_transforms_are_refused():
    with pytest.raises(ValueError, match="whole number of pixels"):
        jitter(1.5)
    with pytest.raises(ValueError, match="whole number of pixels"):
        pad(-1)
    with pytest.raises(ValueError, match="scale is from"):
        scale(1.1, 0.9)
    with pytest.raises(ValueError, match="angles go from"):
        rotate(-5)
    with pytest.raises(TypeError, match="transforms are a list"):
        Warp([lambda x: x], (8, 8))
    with pytest.raises(LookupError, match="no padding mode 'gray'. Did you mean 'grey'"):
        Warp([pad(1)], (8, 8), padding_mode="gray")
