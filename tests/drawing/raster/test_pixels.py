"""The fast path: colours mean what they say, and bytes come back as they went in."""

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from cnnlab.data import photos
from cnnlab.drawing.raster import html_image, pixels
from cnnlab.drawing.raster.colormaps import palette


def test_grey_takes_every_usual_shape():
    for shape in ((4, 5), (1, 4, 5), (3, 4, 5), (1, 3, 4, 5)):
        assert pixels.grey(torch.rand(shape)).shape == (4, 5, 3)
    assert pixels.grey(torch.tensor([[0.0, 0.5, 1.0, 7.0, -1.0]]))[0, :, 0].tolist() == [0, 128, 255, 255, 0]
    colour = torch.zeros(3, 1, 1)
    colour[2] = 1
    assert pixels.grey(colour)[0, 0].tolist() == [0, 0, 255]


def test_signed_is_white_at_zero_red_above_and_blue_below():
    zero, up, down = pixels.signed(torch.tensor([[0.0, 2.0, -2.0]]))[0].astype(int)
    assert min(zero) > 240
    assert up[0] > up[2] + 50 and down[2] > down[0] + 50


def test_a_common_limit_keeps_a_weak_map_weak():
    weak, strong = torch.tensor([[0.1, 0.0]]), torch.tensor([[1.0, 0.0]])
    assert np.array_equal(pixels.signed(weak), pixels.signed(strong))
    assert not np.array_equal(pixels.signed(weak, limit=1), pixels.signed(strong, limit=1))


def test_magnitude_grows_brighter_and_refuses_negative_numbers():
    drawn = pixels.magnitude(torch.linspace(0, 1, 9)[None]).astype(int).sum(axis=2)[0]
    assert (np.diff(drawn) > 0).all()
    with pytest.raises(ValueError, match="signed"):
        pixels.magnitude(torch.tensor([[-1.0, 1.0]]))


def test_maps_of_zeros_are_drawn_and_nan_is_refused():
    assert pixels.signed(torch.zeros(2, 2)).min() > 240
    assert (pixels.magnitude(torch.zeros(2, 2)) == pixels.palette("viridis")[0]).all()
    with pytest.raises(ValueError, match="1 of 4 numbers are NaN"):
        pixels.signed(torch.tensor([[0.0, float("nan")], [1.0, 1.0]]))
    with pytest.raises(ValueError, match="above zero"):
        pixels.signed(torch.ones(2, 2), limit=-1)
    with pytest.raises(ValueError, match=r"\(2, 3, 4\)"):
        pixels.signed(torch.zeros(2, 3, 4))


def test_tile_puts_pictures_in_rows():
    one, two, three = (np.full((2, 3, 3), value, np.uint8) for value in (10, 20, 30))
    page = pixels.tile([one, two, three], columns=2, gap=1)
    assert page.shape == (5, 7, 3)
    assert page[0, 0, 0] == 10 and page[0, 4, 0] == 20 and page[3, 0, 0] == 30 and page[3, 4, 0] == 255
    with pytest.raises(ValueError, match="one size"):
        pixels.tile([one, np.zeros((1, 1, 3), np.uint8)])


def test_outline_frames_its_pixels_and_leaves_the_others_and_the_original():
    picture = np.zeros((8, 8, 3), np.uint8)
    framed = pixels.outline(picture, 2, 3, 5, 4, thick=1)
    touched = (framed != 0).any(axis=2)
    assert touched.sum() == 2 * 5 + 2 * 4 - 4 and touched[2:7, 3:7].sum() == touched.sum()
    assert picture.max() == 0


def test_numbers_writes_into_cells_and_leaves_nan_empty():
    page = pixels.numbers(torch.tensor([[0.0, 1.0], [float("nan"), 0.5]]), cell=40)
    assert page.shape == (80, 80, 3)
    black, white, empty = page[2:38, 2:38], page[2:38, 42:78], page[42:78, 2:38]
    assert black[0, 0, 0] == 0 and black.max() == 255  # white letters on black
    assert white[0, 0, 0] == 255 and white.min() == 0  # black letters on white
    assert empty.min() == 255


def test_numbers_on_a_fixed_scale_do_not_change_colour_with_their_neighbours():
    alone = pixels.numbers(torch.tensor([[1.0, 2.0]]), is_signed=True, limits=(-4, 4))
    beside = pixels.numbers(torch.tensor([[1.0, 4.0]]), is_signed=True, limits=(-4, 4))
    assert np.array_equal(alone[:, :40], beside[:, :40])
    assert not np.array_equal(alone[:, 40:], beside[:, 40:])


def _ramp(colours: int) -> np.ndarray:
    """So many colours, each once, and some twice."""
    numbers = np.arange(1024) % colours
    return np.stack([numbers % 256, numbers // 256, numbers % 7], axis=1).astype(np.uint8).reshape(32, 32, 3)


@pytest.mark.parametrize(
    ("picture", "mode"),
    (
        (np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8), "P"),
        (np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8), "RGB"),
        (pixels.signed(torch.randn(60, 50, generator=torch.Generator().manual_seed(0))), "P"),
        (pixels.grey(torch.rand(60, 50, generator=torch.Generator().manual_seed(0))), "P"),
        (np.full((1, 1, 3), (255, 1, 0), np.uint8), "P"),
        (_ramp(256), "P"),
        (_ramp(257), "RGB"),
    ),
)
def test_encode_is_a_png_with_the_same_pixels_and_few_colours_become_a_palette(picture, mode):
    found = Image.open(io.BytesIO(html_image.encode(picture)))
    assert found.format == "PNG" and found.mode == mode
    assert np.array_equal(np.asarray(found.convert("RGB")), picture)


def test_palettes_are_exact_whatever_the_colours_also_where_their_hashes_meet():
    random, met = np.random.default_rng(0), 0
    for _ in range(100):
        colours = random.integers(0, 256, (random.integers(1, 257), 3)).astype(np.uint8)
        picture = colours[random.integers(0, len(colours), (20, 30))]
        seen = np.asarray(Image.open(io.BytesIO(html_image.encode(picture))).convert("RGB"))
        assert np.array_equal(seen, picture)
        known = np.unique(html_image._packed(picture))
        met += len(np.unique(html_image._hashed(known))) < len(known)
    assert 0 < met < 100  # both ways were tried


def _opened(packed):
    kind, data = packed
    return kind, np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_a_colour_photo_is_sent_as_a_good_jpeg():
    photo = pixels.grey(photos.load("cat", size=256)[0])
    kind, seen = _opened(html_image.pack(photo))
    assert kind == "image/jpeg" and seen.shape == photo.shape
    difference = np.abs(seen.astype(int) - photo)
    assert difference.mean() < 2 and np.quantile(difference, 0.999) < 16
    assert len(html_image.pack(photo)[1]) < len(html_image.encode(photo)) / 2


@pytest.mark.parametrize(
    "picture",
    (
        pixels.signed(torch.randn(60, 50, generator=torch.Generator().manual_seed(0))),
        pixels.grey(photos.load("cat", size=128).mean(dim=1)),
        pixels.numbers(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)), is_signed=True),
        pixels.enlarge(pixels.grey(torch.rand(3, 30, 30, generator=torch.Generator().manual_seed(0))), 4),
        pixels.overlay(photos.load("cat", size=96)[0], torch.rand(96, 96)) // 8 * 8,
    ),
    ids=("a map", "a grey photo", "a table", "an enlarged sheet", "few colours"),
)
def test_what_is_read_off_is_sent_exactly(picture):
    kind, seen = _opened(html_image.pack(picture))
    assert kind == "image/png" and np.array_equal(seen, picture)


def test_palettes_are_those_of_matplotlib():
    from matplotlib import colormaps

    for name in ("RdBu_r", "viridis"):
        theirs = (colormaps[name](np.arange(256))[:, :3] * 255).round()
        assert np.array_equal(palette(name), theirs)
    with pytest.raises(LookupError, match="viridis"):
        palette("jet")


def test_drawing_with_pixels_needs_no_plotting_library():
    code = (
        "import sys, torch\nimport cnnlab.drawing, cnnlab.widgets\n"
        "from cnnlab.drawing import charts, images, show\n"
        "from cnnlab.drawing.raster import html_image, pixels\n"
        "x = torch.rand(3, 3)\n"
        "for draw in (pixels.grey, pixels.signed, pixels.magnitude, pixels.numbers, pixels.cells):\n"
        "    assert html_image.encode(pixels.enlarge(draw(x), 2))\n"
        "assert callable(show)\n"
        "cnnlab.widgets.explore(lambda n: pixels.signed(x * n), n=(0, 2)).put(n=2)\n"
        "print([name for name in sys.modules if name.startswith('matplotlib')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "[]\n"


def test_enlarge_makes_squares_of_pixels():
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = pixels.enlarge(picture, 3)
    assert large.shape == (6, 6, 3) and np.array_equal(large[::3, ::3], picture)
    assert (large[:3, 3:] == picture[0, 1]).all()
    for factor in (0, -1, 1.5):
        with pytest.raises(ValueError, match="whole factor"):
            pixels.enlarge(picture, factor)


def test_a_picture_or_table_with_numbers_that_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="1 of 2 numbers are NaN"):
        pixels.grey(torch.tensor([[float("nan"), 1.0]]))
    with pytest.raises(ValueError, match="1 of 2 numbers are infinite"):
        pixels.numbers(torch.tensor([[float("inf"), 1.0]]))
    for shape in ((3,), (2, 3, 3), (0, 3)):
        with pytest.raises(ValueError, match="one map"):
            pixels.numbers(torch.zeros(shape))
    assert pixels.numbers(torch.rand(1, 1, 2, 2), cell=20).shape == (40, 40, 3)


def test_a_long_number_stays_inside_its_cell():
    page = pixels.numbers(torch.tensor([[-12345.5, -12345.5]]), cell=48)
    assert (page[1:-1, 1] == page[1, 1]).all() and (page[1:-1, 46] == page[1, 46]).all()
    assert (page[4:-4, 4:44] != page[1, 1]).any()
