"""The widgets of the lectures: every end is drawn without an error, and the numbers on them are right."""

import pytest
import torch
import torch.nn.functional as F

from cnnlab.data import photos
from cnnlab.methods import edges
from cnnlab.nets import kernels
from cnnlab.widgets import convolution, orientation

WIDGETS = (
    convolution.scan,
    convolution.kernel_editor,
    convolution.blur,
    convolution.geometry,
    orientation.turn,
    orientation.cover,
)


@pytest.mark.parametrize("make", WIDGETS, ids=lambda make: make.__name__)
def test_every_end_is_drawn_and_something_changes(make):
    widget = make()
    start = {caption: panel.value for caption, panel in widget.panels.items()}
    for values in widget.ends():
        widget.put(**values)
        assert widget.message.value == "", values
    changed = 0
    for name, each in widget.controls.items():
        for end in each.ends:
            widget.reset()
            assert {caption: panel.value for caption, panel in widget.panels.items()} == start
            widget.put(**{name: end})
            changed += {caption: panel.value for caption, panel in widget.panels.items()} != start
    assert changed >= len(widget.controls)


@pytest.mark.parametrize("position", (0, 17, 35))
def test_scan_says_the_sum_that_torch_computes(position):
    view = convolution.scan_view(position, "sharpen", "a tiny photo")
    x = convolution._small_pictures()["a tiny photo"]()
    expected = F.conv2d(x[None, None], kernels.load("sharpen")[None, None]).flatten()[position].item()
    assert view[""].endswith(f"= {expected:.2f}")


def test_kernel_view_with_identity_gives_the_photo_back():
    photo = photos.load("cat", size=48)
    view = convolution.kernel_view(kernels.load("identity"), 0.0, False, photo)
    assert (view["photo"] == view["feature map"]).all()
    cut = convolution.kernel_view(kernels.load("sobel x"), 0.0, True, photo)[""]
    assert "goes from 0.00" in cut


def test_blur_view_agrees_with_one_square_convolution():
    photo = photos.load("cat", size=40)
    view = convolution.blur_view(2.0, photo)
    kernel = kernels.gaussian(2.0)
    wide = F.pad(photo, (6,) * 4, mode="replicate")
    square = F.conv2d(wide, kernel.expand(3, 1, -1, -1), groups=3)
    expected = (square[0].permute(1, 2, 0) * 255).round()
    assert (torch.from_numpy(view["blurred"]).float() - expected).abs().max() <= 1


@pytest.mark.parametrize(
    ("values", "side"),
    (((7, 3, 0, 1, 1), 5), ((7, 3, 1, 2, 1), 4), ((10, 5, 3, 4, 3), 1), ((4, 1, 0, 1, 1), 4)),
)
def test_geometry_says_the_size_that_torch_gives(values, side):
    n, k, p, s, d = values
    made = F.conv2d(torch.zeros(1, 1, n, n), torch.zeros(1, 1, k, k), padding=p, stride=s, dilation=d)
    assert made.shape[-1] == side
    assert f"= {side}. The kernel" in convolution.geometry_view(*values, position=3)[""]


def test_geometry_says_when_a_kernel_does_not_fit():
    assert "does not fit" in convolution.geometry_view(4, 5, 0, 1, 3, 0)[""]


def test_turning_by_90_degrees_swaps_the_shares_and_no_corner_is_empty():
    photo = photos.load("bricks", size=128)
    plain, turned = (edges.shares(orientation.rotate(photo, angle))[0] for angle in (0, 90))
    torch.testing.assert_close(turned, plain[[2, 3, 0, 1]], atol=1e-3, rtol=0)
    assert orientation.rotate(torch.ones(1, 3, 64, 64), 33).min() > 0.999
    assert torch.equal(orientation.rotate(photo, 0), orientation.rotate(photo.clone(), 0))


def test_cover_with_nothing_loses_nothing_and_with_all_loses_all():
    photo = photos.load("bricks", size=64)
    assert ": 0% of it is gone" in orientation.cover_view(50, 50, 0, photo)[""]
    gone = orientation.cover_view(50, 50, 100, photo)
    assert "100% of it is gone" in gone[""] or "plain colour" in gone[""]
