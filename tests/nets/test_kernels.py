"""The classic kernels do to an image what their names say."""

import pytest
import torch
import torch.nn.functional as F

from cnnlab.nets import kernels


def apply(kernel, image):
    return F.conv2d(image[None, None], kernel[None, None], padding=kernel.shape[-1] // 2)[0, 0]


@pytest.mark.parametrize("name", kernels.names())
def test_each_kernel_is_3x3_and_sums_to_zero_or_one(name):
    kernel = kernels.load(name)
    assert kernel.shape == (3, 3) and kernel.dtype == torch.float32
    assert any(abs(kernel.sum().item() - whole) < 1e-6 for whole in (0, 1))


def test_load_hands_out_a_fresh_tensor():
    kernels.load("sharpen").zero_()
    assert kernels.load("sharpen").sum() == 1


def test_shift_right_moves_the_picture_one_pixel_to_the_right():
    image = torch.rand(5, 6)
    assert torch.equal(apply(kernels.load("shift right"), image)[:, 1:], image[:, :-1])


def test_sobel_x_sees_a_vertical_edge_and_is_blind_to_a_horizontal_one():
    vertical = torch.zeros(7, 7)
    vertical[:, 4:] = 1
    inside = (slice(1, -1), slice(1, -1))
    assert apply(kernels.load("sobel x"), vertical)[inside].max() == 4
    assert apply(kernels.load("sobel x"), vertical.T)[inside].abs().max() == 0
    assert apply(kernels.load("sobel y"), vertical.T)[inside].max() == 4


@pytest.mark.parametrize("angle", (0, 45, 90, 135))
def test_a_line_fires_its_own_detector_most(angle):
    drawn = {0: torch.zeros(5, 5), 45: torch.eye(5).flip(1), 90: torch.zeros(5, 5), 135: torch.eye(5)}
    drawn[0][2] = 1
    drawn[90][:, 2] = 1
    centre = {other: apply(kernels.line(other), drawn[angle])[2, 2].item() for other in drawn}
    assert max(centre, key=centre.get) == angle and centre[angle] == 6
    assert kernels.line(angle).sum() == 0


def test_gaussian_agrees_with_torchvision():
    from torchvision.transforms.functional import gaussian_blur  # seconds, for this test alone

    image = torch.rand(1, 1, 20, 20)
    ours = F.conv2d(F.pad(image, (4, 4, 4, 4), mode="reflect"), kernels.gaussian(1.3, 9)[None, None])
    torch.testing.assert_close(ours, gaussian_blur(image, 9, 1.3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("sigma", (0.1, 0.5, 3.0))
def test_gaussian_sums_to_one_and_peaks_in_the_middle(sigma):
    kernel = kernels.gaussian(sigma)
    assert kernel.sum().item() == pytest.approx(1, abs=1e-6)
    assert kernel.argmax().item() == kernel.numel() // 2


def test_bad_requests_say_what_to_do():
    with pytest.raises(LookupError, match="Did you mean 'sobel x'"):
        kernels.load("sobelx")
    with pytest.raises(LookupError, match="0, 45, 90, 135"):
        kernels.line(30)
    with pytest.raises(ValueError, match="positive"):
        kernels.gaussian(0)
    with pytest.raises(ValueError, match="odd.*Try 5"):
        kernels.gaussian(1.0, size=4)
