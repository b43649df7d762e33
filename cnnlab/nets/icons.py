"""The images that units of the embedded networks ask for, drawn once and shipped.

Type: (network, layer) -> (C, 1 or 3, side, side), one sheet a layer. A semantic dictionary needs them now,
and to draw them takes minutes: `python -m cnnlab icons NET`, by `cnnlab.methods.dream.superstimuli`.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cnnlab import atomic_files
from cnnlab.data.loading import checked_download
from cnnlab.errors import unknown

FOLDER = Path(__file__).with_name("icon_sheets")
SIDE, COLUMNS = 48, 16
_QUALITY = 80  # of JPEG: a sheet as exact PNG would be six times as large
_AGAIN = "Get it again, as with: git checkout -- {path}. Or draw it again: python -m cnnlab icons {net}"


def layers(net: str, folder: Path = FOLDER) -> list[str]:
    """The layers of which there is a sheet, in the order of the network; none for networks without sheets.

    >>> layers("photonet")[-1]
    'relu5'
    """
    return [about["layer"] for about in _manifest(folder).values() if about["net"] == net]


def load(net: str, layer: str, folder: Path = FOLDER) -> Tensor:
    """The icon of every channel of a layer.

    Args:
        net: an embedded network.
        layer: as in `layers`.
        folder: where the sheets lie.

    Returns:
        (C, 3, 48, 48) in [0, 1]; for a network of grey images (C, 1, 48, 48).

    Raises:
        LookupError: there is no such sheet; names those there are.
        OSError: the file is missing, cut short or altered.
    """
    from PIL import Image

    known, name = _manifest(folder), f"{net}-{layer}"
    if name not in known:
        raise unknown("sheet of icons", name, known, plural="sheets of icons")
    about, path = known[name], folder / f"{name}.jpg"
    again = _AGAIN.format(path=path, net=net)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path.name} in {folder}. {again}")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != about["sha256"]:
        raise OSError(
            f"{path.name} was cut short or altered: its sha256 is not that of the manifest. {again}"
        )
    page = np.array(Image.open(io.BytesIO(data)), dtype=np.float32) / 255
    page = page[..., None] if page.ndim == 2 else page
    rows, columns = page.shape[0] // SIDE, page.shape[1] // SIDE
    parts = torch.from_numpy(page).view(rows, SIDE, columns, SIDE, -1).permute(0, 2, 4, 1, 3)
    return parts.reshape(rows * columns, -1, SIDE, SIDE)[: about["channels"]].contiguous()


def save(net: str, layer: str, images: Tensor, about: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """Write a sheet and note it in the manifest, each whole or not at all.

    Args:
        net, layer: whose icons they are.
        images: (C, 1 or 3, 48, 48) in [0, 1].
        about: how they were drawn; JSON.
        folder: where to write.

    Raises:
        ValueError: images of another shape.
        OSError: it cannot be written.
    """
    from PIL import Image

    if images.dim() != 4 or images.shape[1] not in (1, 3) or images.shape[2:] != (SIDE, SIDE):
        raise ValueError(f"icons are (C, 1 or 3, {SIDE}, {SIDE}), not {tuple(images.shape)}")
    count, channels = images.shape[:2]
    rows = -(-count // COLUMNS)
    full = torch.cat([images, torch.ones(rows * COLUMNS - count, channels, SIDE, SIDE)])
    page = full.view(rows, COLUMNS, channels, SIDE, SIDE).permute(0, 3, 1, 4, 2)
    bytes_ = (page.reshape(rows * SIDE, COLUMNS * SIDE, channels).clamp(0, 1) * 255).round().byte().numpy()
    stream = io.BytesIO()
    Image.fromarray(bytes_[..., 0] if channels == 1 else bytes_).save(
        stream, "JPEG", quality=_QUALITY, subsampling=0
    )
    path, data = folder / f"{net}-{layer}.jpg", stream.getvalue()
    noted = {"net": net, "layer": layer, "channels": count, "sha256": hashlib.sha256(data).hexdigest()}
    with atomic_files.explaining(path), checked_download.alone(folder, "manifest", "writing"):
        atomic_files.write(path, data)
        known = {**_manifest(folder), f"{net}-{layer}": {**noted, **about}}
        atomic_files.write(folder / "manifest.json", json.dumps(known, indent=1) + "\n")
    return path


def _manifest(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / "manifest.json"
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OSError(f"{path} is damaged: {error}. Get it again, as with: git checkout -- {path}") from error
