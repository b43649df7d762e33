"""The page beside the weight files: what each is, how it was made, how good it is; from the manifest."""

from pathlib import Path

from cnnlab.nets import shelf

_HEAD = """# Weights that come with the course

Written by `python -m cnnlab train`; do not edit. Each file is safetensors: numbers and names, no code.
Loading checks the sha256 below (also in manifest.json) and says what is wrong.

`python -m cnnlab train NAME` makes a file again, into the folder `runs`. It needs a network only for MNIST
and Tiny ImageNet, once. The same seed gives the same training; the last digits of the weights differ with
the processor and its number of threads.

The test pictures were never trained on, and no epoch was chosen by them: the last weights are kept. Accuracy
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


def page(folder: Path = shelf.FOLDER) -> str:
    """README.md of a folder of weight files.

    Raises:
        OSError: an entry of its manifest lacks something.
    """
    known = shelf.manifest(folder)
    rows = [
        "| file | recipe | weights | epochs | seconds | right of the test pictures | bytes |",
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


_RECIPES = """Every recipe, with all its numbers, is in `cnnlab/nets/recipes.py`. `photonet-bad` is
`photonet` with a learning rate a hundred times as high: it is meant to go wrong. Only its filters are kept.
`shapesnet-watermarked` is meant to cheat: it reads the mark. Its accuracy is that on scenes with the mark.
"""
