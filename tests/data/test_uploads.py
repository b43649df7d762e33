"""What students upload: sideways, transparent, moving, damaged, or made to fill the memory."""

import io
import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from cnnlab.data import uploads

RED, BLUE = (255, 0, 0), (0, 0, 255)


def saved(image, kind="PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def two_halves(width=40, height=40) -> Image.Image:
    """Red above, blue below."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (0, height // 2, width, height))
    return image


def colour(pixels):
    return [round(value, 2) for value in pixels.flatten(1).mean(1).tolist()]


def png_header(width, height) -> bytes:
    """A PNG that claims a size and holds almost nothing."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("kind", uploads.FORMATS)
def test_every_format_is_read(kind):
    image = uploads.read(saved(two_halves(), kind), size=20)
    assert image.shape == (1, 3, 20, 20) and image.dtype == torch.float32
    assert image.min() >= 0 and image.max() <= 1
    assert torch.allclose(image[0, :, 2, 10], torch.tensor([1.0, 0, 0]), atol=0.05)
    assert torch.allclose(image[0, :, 17, 10], torch.tensor([0, 0, 1.0]), atol=0.05)


def test_the_usual_size_and_other_kinds_of_bytes():
    data = saved(two_halves())
    assert uploads.read(data).shape == (1, 3, 224, 224)
    assert torch.equal(uploads.read(memoryview(data)), uploads.read(data))  # what an upload button gives
    with pytest.raises(TypeError, match="bytes"):
        uploads.read("cat.png")


def test_the_middle_square_is_cut():
    image = Image.new("RGB", (60, 20), RED)
    image.paste(BLUE, (20, 0, 40, 20))
    assert colour(uploads.read(saved(image), size=20)[0]) == [0, 0, 1]


def test_shrinking_does_not_alias():
    board = np.indices((200, 200)).sum(0) % 2 * 255
    grey = uploads.read(saved(Image.fromarray(board.astype(np.uint8))), size=10)
    assert (grey - 0.5).abs().max() < 0.1


def test_a_photo_taken_sideways_is_turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn right by 90 degrees to see it
    image = uploads.read(saved(two_halves(), "JPEG", exif=exif, quality=95), size=20)[0]
    assert image[0, :, 14:].mean() > 0.9 and image[2, :, :6].mean() > 0.9  # red went from above to the right


def test_what_is_transparent_becomes_white():
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert colour(uploads.read(saved(image), size=8)[0]) == [1, 1, 1]
    half = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    assert colour(uploads.read(saved(half), size=8)[0]) == [1, 0.5, 0.5]
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    assert colour(uploads.read(saved(palette), size=8)[0]) == [0, 0, 1]
    assert colour(uploads.read(saved(palette, transparency=1), size=8)[0]) == [1, 1, 1]


def test_of_a_moving_picture_the_first_frame_is_taken():
    frames = [Image.new("RGB", (8, 8), shade) for shade in (RED, BLUE)]
    for kind in ("GIF", "WEBP"):
        moving = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        red, _green, blue = uploads.read(moving, size=8)[0].mean((1, 2))
        assert red > 0.9 and blue < 0.1, kind


def test_sixteen_bits_are_scaled_and_not_cut():
    ramp = np.tile(np.linspace(0, 65535, 32), (32, 1)).astype(np.uint16)
    image = uploads.read(saved(Image.fromarray(ramp)), size=32)
    assert torch.allclose(image[0, 1, 5], torch.linspace(0, 1, 32), atol=1e-3)


def test_other_colour_models():
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red, green, _blue = uploads.read(saved(cmyk, "JPEG"), size=8)[0].mean((1, 2))
    assert red > 0.9 and green < 0.1
    for mode in ("1", "L", "LA"):
        assert colour(uploads.read(saved(Image.new(mode, (8, 8), "white")), size=8)[0]) == [1, 1, 1]


@pytest.mark.parametrize(("width", "height"), [(25_000, 20_000), (12_000, 10_000), (5001, 5000)])
def test_too_many_pixels_are_refused_by_the_header(width, height):
    # Beyond Pillow's own error; beyond its warning; beyond our limit alone.
    data = png_header(width, height)
    assert len(data) < 200
    tracemalloc.start()
    decoded = []
    load = ImageFile.ImageFile.load
    try:
        ImageFile.ImageFile.load = lambda image: decoded.append(image.size) or load(image)
        with pytest.raises(ValueError, match="million are read") as caught:
            uploads.read(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        ImageFile.ImageFile.load = load
        tracemalloc.stop()
    assert "Try" in str(caught.value)
    assert not decoded and peak < 5_000_000


def test_too_many_bytes_are_refused_unread(monkeypatch):
    monkeypatch.setattr(Image, "open", lambda *_args, **_options: pytest.fail("the file was opened"))
    with pytest.raises(ValueError, match="10.0 MB; at most 10 MB"):
        uploads.read(bytes(10_000_001))
    with pytest.raises(ValueError, match="empty"):
        uploads.read(b"")


def test_limits_can_be_set():
    data = saved(two_halves(40, 40))
    assert uploads.read(data, size=8, max_bytes=len(data), max_pixels=1600).shape == (1, 3, 8, 8)
    with pytest.raises(ValueError, match="MB are read"):
        uploads.read(data, max_bytes=len(data) - 1)
    with pytest.raises(ValueError, match="40 x 40"):
        uploads.read(data, max_pixels=1599)
    with pytest.raises(ValueError, match="size"):
        uploads.read(data, size=0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_an_incomplete_file_is_refused(kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), kind)
    for share in (0.5, 0.1):
        with pytest.raises(ValueError, match=r"(damaged|no image).*Try"):
            uploads.read(data[: int(len(data) * share)])


def test_a_changed_byte_in_a_png_is_noticed():
    whole = saved(two_halves())
    for position in (whole.index(b"IDAT") + 12, whole.index(b"IEND") - 5):  # a pixel; a check sum
        data = bytearray(whole)
        data[position] ^= 0xFF
        with pytest.raises(ValueError, match="damaged"):
            uploads.read(bytes(data))


def test_damage_anywhere_gives_a_picture_or_a_sentence():
    random = np.random.default_rng(1)
    for kind in uploads.FORMATS:
        whole = saved(two_halves(), kind)
        for _ in range(60):
            data = bytearray(whole)
            for position in random.integers(0, len(data), 3):
                data[position] = random.integers(256)
            try:
                image = uploads.read(bytes(data), size=4)
            except ValueError as error:
                assert "Try" in str(error)
            else:
                assert image.shape == (1, 3, 4, 4)


def test_no_picture_and_other_formats_are_refused():
    tiff = saved(two_halves(), "TIFF")
    for data in (b"hello", b"%PDF-1.4 something", b"<svg xmlns='http://www.w3.org/2000/svg'/>", tiff):
        with pytest.raises(ValueError, match="no image of a known kind.*PNG"):
            uploads.read(data)


def test_pillow_and_warnings_stay_as_they_were():
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with pytest.raises(ValueError):
            uploads.read(png_header(12_000, 10_000))
        uploads.read(saved(two_halves()))
    assert not heard
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before


def test_a_file_is_read_as_its_bytes_are(tmp_path):
    file = tmp_path / "two halves.png"
    file.write_bytes(saved(two_halves()))
    assert torch.equal(uploads.load(file, 8), uploads.read(file.read_bytes(), 8))
    assert torch.equal(uploads.load(str(file), 8), uploads.load(file, 8))


def test_a_file_that_is_not_there_too_large_or_no_picture_is_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image at .*none\.png"):
        uploads.load(tmp_path / "none.png")
    file = tmp_path / "large.png"
    file.write_bytes(saved(two_halves()))
    with pytest.raises(ValueError, match=r"large\.png: the file has"):
        uploads.load(file, max_bytes=50)
    file.write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"large\.png: "):
        uploads.load(file)


def test_no_path_and_a_folder_are_told_apart_from_a_missing_file(tmp_path):
    for wrong in (None, 3, b"cat.png", ""):
        with pytest.raises(TypeError, match="path is the path of an image file"):
            uploads.load(wrong)
    with pytest.raises(IsADirectoryError, match="is a folder: give the path of an image file in it"):
        uploads.load(tmp_path)
