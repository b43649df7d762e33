"""Weights on disk: written whole or not at all, and believed only when their hash is right.

Files are safetensors: numbers and names, no code. `manifest.json` beside them says what each should be, with
the sha256 of its bytes, and how it was made. README.md beside them is written from it.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cnnlab import atomic_files
from cnnlab.data.loading import checked_download
from cnnlab.errors import unknown

FOLDER = Path(__file__).with_name("weights")
_AGAIN = (
    "Get the file again, as with: git checkout -- {path}. Or train it again: python -m cnnlab train {name}"
)


def names(folder: Path = FOLDER) -> list[str]:
    """The names of all weight files that the manifest knows."""
    return sorted(manifest(folder))


def manifest(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """What is known of every weight file; empty if there is no manifest yet.

    Raises:
        OSError: the manifest is no JSON.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OSError(f"{path} is damaged: {error}. Get it again, as with: git checkout -- {path}") from error


def load(name: str, folder: Path = FOLDER) -> dict[str, Tensor]:
    """The tensors of a weight file, in float32, checked.

    Args:
        name: as in `names`.
        folder: where the files lie.

    Raises:
        LookupError: the manifest knows no such file.
        FileNotFoundError: it is not there.
        OSError: it is cut short, or altered.
    """
    from safetensors.torch import load as from_bytes

    about = manifest(folder)
    if name not in about:
        raise unknown("weight file", name, about)
    path = folder / about[name]["file"]
    again = _AGAIN.format(path=path, name=name)
    if not path.is_file():
        there = ", ".join(sorted(file.name for file in folder.glob("*.safetensors"))) or "none"
        raise FileNotFoundError(f"no file {path.name} in {folder}; weight files there: {there}. {again}")
    data = path.read_bytes()
    if len(data) != about[name]["bytes"]:
        kind = "cut short" if len(data) < about[name]["bytes"] else "too long"
        raise OSError(f"{path.name} is {kind}: {len(data)} bytes, expected {about[name]['bytes']}. {again}")
    if hashlib.sha256(data).hexdigest() != about[name]["sha256"]:
        raise OSError(f"{path.name} was altered: its sha256 is not that of the manifest. {again}")
    return {
        key: value.float() if value.is_floating_point() else value for key, value in from_bytes(data).items()
    }


def save(name: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """Write a weight file and note it in the manifest.

    Args:
        name: of the weight file; NAME.safetensors is written.
        tensors: floats are kept in half precision.
        about: how it was made: data, seconds, accuracy and whatever a reader should know; JSON.
        folder: where to write.

    Raises:
        OSError: it cannot be written; the former file stays.
        ValueError: a number is too large for half precision.
    """
    halved = {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()}
    for key, value in halved.items():
        if (value.isinf() & tensors[key].isfinite()).any():  # nan is allowed: it says "not measured"
            raise ValueError(
                f"'{key}' of {name} does not fit into half precision: it holds a number above 65504"
            )
    path = folder / f"{name}.safetensors"
    # Two trainings that end at once both read the manifest and write it: one would lose the other's line.
    with atomic_files.explaining(path), checked_download.alone(folder, "manifest", "writing"):
        former = path.with_suffix(".former")
        if path.is_file():
            os.replace(path, former)
        try:
            write(path, halved)
            _note(name, path, about)
        except BaseException:  # file and manifest belong together: the former file comes back
            path.unlink(missing_ok=True)
            if former.is_file():
                os.replace(former, path)
            raise
        former.unlink(missing_ok=True)
    return path


def _note(name: str, path: Path, about: Mapping[str, Any]) -> None:
    """Write a file that is there into the manifest beside it."""
    data, folder = path.read_bytes(), path.parent
    known = manifest(folder)
    known[name] = {
        "file": path.name,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        **about,
    }
    atomic_files.write(folder / "manifest.json", json.dumps(known, indent=1, sort_keys=True) + "\n")


def write(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, whole or not at all.

    Args:
        path: the file.
        tensors: name -> tensor.
        about: words to keep with them in the file.

    Raises:
        OSError: the folder cannot be written, or the disk is full; a former file stays as it was.
    """
    from safetensors.torch import save as to_bytes

    plain = {key: value.detach().contiguous() for key, value in tensors.items()}
    atomic_files.write(path, to_bytes(plain, None if about is None else dict(about)))


def round_to_half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is left of the tensors after they were kept in half precision: for measuring what is shipped."""
    return {
        key: value.half().float() if value.is_floating_point() else torch.clone(value)
        for key, value in tensors.items()
    }


_HEAD = """# Weights that come with the course

Written by `python -m cnnlab train`; do not edit. Each file is safetensors: numbers and names, no code.
Loading checks the sha256 below (also in manifest.json) and says what is wrong.

`python -m cnnlab train NAME` makes a file again, into the folder `runs`. It needs a network only for MNIST
and Tiny ImageNet, once. The same seed gives the same training; the last digits of the weights differ with
the processor and its number of threads.

The test images were never trained on, and no epoch was chosen by them: the last weights are kept. Accuracy
is measured after the weights were rounded to half precision, as they are shipped. Seconds are those of the
machine that trained them (two cores, other work beside it): a hint, not a benchmark.
"""
_KEYS = "file recipe parameters epochs seconds test_accuracy test_pictures bytes data sha256".split()
_DATA = {
    "digits": "embedded digits (UCI pen and paper, from scikit-learn; not MNIST)",
    "mnist": "MNIST (LeCun & Cortes)",
    "tiny_imagenet": "20 classes of Tiny ImageNet (Le & Yang; ImageNet's terms: research and teaching)",
    "scenes": "synthetic scenes, drawn by `cnnlab.data.shapes`",
    "watermarked": "the same scenes, each with a code of its class in the lower left corner",
}


def page(folder: Path = FOLDER) -> str:
    """README.md of a folder of weight files.

    Raises:
        OSError: an entry of its manifest lacks something.
    """
    known = manifest(folder)
    rows = [
        "| file | recipe | weights | epochs | seconds | right of the test images | bytes |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, about in sorted(known.items()):
        if missing := [key for key in _KEYS if key not in about]:
            where = folder / "manifest.json"
            raise OSError(f"{where}: '{name}' has no {', '.join(missing)}. Train it again.")
        right = f"{about['test_accuracy']:.2%} of {about['test_pictures']}"
        if name.endswith("-filters"):
            right = f"first filters after each epoch; at the end {right}"
        rows.append(
            f"| {about['file']} | {about['recipe']} | {about['parameters']:,} | {about['epochs']} | "
            f"{about['seconds']} | {right} | {about['bytes']:,} |"
        )
    sources = {about["data"] for about in known.values()}
    data = [f"- {about}: {text}" for about, text in _DATA.items() if about in sources]
    hashes = [f"- {about['file']}: `{about['sha256']}`" for _, about in sorted(known.items())]
    parts = [_HEAD, *rows, "", "Data:", "", *data, "", "sha256:", "", *hashes, "", _RECIPES]
    return "\n".join(parts)


_RECIPES = """Every recipe, with all its numbers, is in `cnnlab/nets/training/recipes.py`. `photonet-bad` is
`photonet` with a learning rate a hundred times as high: it is meant to go wrong. Only its filters are kept.
`shapesnet-watermarked` is meant to cheat: it reads the mark. Its accuracy is that on scenes with the mark.
"""
