"""The widgets of the lectures: every end is drawn without an error, and the numbers on them are right."""

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cnnlab.data import photos
from cnnlab.nets import kernels, models
from cnnlab.widgets.lessons import (
    activations,
    adversarial,
    batchnorm,
    convolution,
    deconvnet,
    dream,
    dropout,
    evaluation,
    filters,
    saliency,
    start,
    top,
)


def sticker():
    """Stickers that do not know the network: what moves them is tested, not what they do."""
    stickers = {"grey": torch.full((3, 16, 16), 0.5), "noise": torch.rand(3, 16, 16)}
    images = {name: photos.load(name, 64) for name in ("cat", "temple")}
    return adversarial.stick(models.load("photonet"), stickers, images)


WIDGETS = (
    convolution.scan,
    convolution.kernel_editor,
    convolution.blur,
    convolution.geometry,
    start.turn,
    start.cover,
    filters.browser,
    filters.growth,
    activations.browser,
    activations.positions,
    activations.nearest,
    top.fields,
    functools.partial(top.browser, n=60),
    deconvnet.project,
    deconvnet.walk,
    functools.partial(deconvnet.sheet, n=60),
    saliency.methods,
    saliency.path,
    saliency.smooth,
    saliency.covering,
    evaluation.truth_browser,
    evaluation.shuffled,
    evaluation.removal,
    dream.octaves,
    dream.dictionary,
    dropout.units,
    dropout.rates,
    dropout.turning,
    batchnorm.chain,
    batchnorm.statistics,
    batchnorm.rates,
    adversarial.dial,
    adversarial.towards,
    sticker,
)


@pytest.mark.parametrize("make", WIDGETS, ids=lambda make: getattr(make, "func", make).__name__)
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
    x = convolution._small_images()["a tiny photo"]()
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
    said = convolution.geometry_view(*values, position=0)[""]
    assert f"= {side}. The kernel" in said and said.endswith(" 1 pixel." if k == 1 else " pixels.")


def test_geometry_says_when_a_kernel_does_not_fit():
    assert "does not fit" in convolution.geometry_view(4, 5, 0, 1, 3, 0)[""]


def test_turning_says_what_the_network_says_and_no_corner_is_empty():
    photo, net = photos.load("cat", size=256), models.load("photonet")
    chances = net(photos.resize(photo, 64)).softmax(dim=1)[0]
    torch.testing.assert_close(start.rotate(photo, 0), photo, atol=1e-5, rtol=0)
    bars = start.turn_view(0, photo)["the five most probable classes"].splitlines()
    names = range(len(net.classes))
    full = start._bars(
        torch.eye(len(net.classes))[max(names, key=lambda k: len(net.classes[k]))]
    ).splitlines()[0]
    assert full[0] != " " and len(full) <= 35  # beside two pictures in a narrow window, whatever the answer
    for line, number in zip(bars, chances.topk(5).indices, strict=True):
        assert net.classes[number] in line and f"{chances[number]:.0%}" in line
    assert start.rotate(torch.ones(1, 3, 64, 64), 33).min() > 0.999
    quarter = start.rotate(photo, 90)
    assert torch.allclose(quarter, photo.rot90(1, dims=(2, 3)), atol=1e-3)


def test_the_map_of_what_decided_stays_when_the_square_moves():
    photo = photos.load("cat", size=256)
    one, other = (start.cover_view(50, column, 0, photo) for column in (10, 90))
    caption = next(name for name in one if name.startswith("why"))
    assert (one[caption] == other[caption]).all() and "before" in caption


def test_cover_with_nothing_changes_nothing_and_with_all_leaves_a_plain_colour():
    photo = photos.load("cat", size=64)
    said = start.cover_view(50, 50, 0, photo)[""]
    assert said.split("from ")[1].split(" to ")[0] == said.split(" to ")[1]
    gone = start.cover_view(50, 50, 100, photo)
    assert len(np.unique(gone["covered"].reshape(-1, 3), axis=0)) == 1


def test_the_filter_browser_shows_pictures_only_where_there_are_some():
    first, second = (filters.browser_view(f"photonet, conv{k}", 3, "one for all") for k in (1, 2))
    assert list(first)[:2] == ["all 32 filters of photonet, conv1", "filter 3"]
    assert "the 32 kernels of filter 3" in next(iter(second)) and "32 x 5 x 5 = 800 weights" in second[""]
    assert "degrees" in first[""] and "degrees" not in second[""]
    with pytest.raises(ValueError, match="filters 0 to 31, not 99"):
        filters.browser_view("photonet, conv1", 99, "one for all")


@pytest.mark.parametrize("make", (filters.browser, activations.browser))
def test_a_slider_goes_as_far_as_there_are_channels(make):
    widget = make()
    slider = widget.controls["filter" if make is filters.browser else "channel"].widget
    assert slider.max == 31
    slider.value = 31
    deep = "photonet, conv5" if make is filters.browser else "relu5"
    widget.controls["layer"].widget.value = deep
    assert slider.max == 191 and slider.value == 31
    slider.value = 191
    widget.reset()
    assert slider.max == 31 and slider.value == 0 and widget.message.value == ""


def test_growth_says_what_was_measured_then():
    kept = filters._snapshots("photonet-filters")
    said = filters.growth_view(12, "each its own")[""]
    assert (
        f"{kept['accuracy'][12]:.0%} right" in said
        and "not tested" in filters.growth_view(0, "one for all")[""]
    )
    assert "epoch 12 (its last)" in list(filters.growth_view(40, "one for all"))[1]
    assert "last" not in "".join(filters.growth_view(12, "one for all"))
    assert "-0.00" not in filters.growth_view(3, "one for all")[""]


def test_the_place_under_the_frame_has_the_bars_of_its_vector():
    image, net = photos.load("cat", size=64), models.load("photonet")
    with torch.no_grad():
        maps = net[: list(dict(net.named_children())).index("relu4") + 1](image)[0]
    view = activations.positions_view(image, "relu4", 24, 20)
    bars = next(part for caption, part in view.items() if "activations" in caption)
    vector = maps[:, 24 * maps.shape[1] // 64, 20 * maps.shape[2] // 64]
    wide = bars.shape[1] // len(vector)
    heights = [(bars[:, wide * channel] == (0, 114, 178)).all(axis=1).sum() for channel in range(len(vector))]
    expected = (vector / maps.max() * bars.shape[0]).round()
    assert np.abs(np.array(heights) - expected.numpy()).max() <= 1 and max(heights) > 0
    assert f"strongest channels: {int(vector.argmax())} " in view[""]


def test_neighbours_in_the_pixels_are_those_with_the_smallest_distance():
    asked, among = activations._pieces(14, 1), activations._pieces(240, 0)
    distance = (among.images - asked.images[2]).flatten(1).norm(dim=1)
    names = [among.classes[among.labels[k]] for k in distance.argsort()[:5]]
    view = activations.nearest_view(2, "image")
    assert view[""].startswith(f"from {', '.join(names)}")
    assert "its neighbours by the pixels, the nearest first" in view
