"""What `top.scan` costs over the bare forward pass that ends at the layer, and against store-and-sort.

Run `python tests/benchmarks/top_scan.py`. Each round runs all in turns, so that noise hits all; it prints
the best round of each, its ratio to the bare pass, and the peak memory of each beyond
images and network, in a process of its own (Linux). It is no test.
"""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import torch
from side_by_side import Row, in_turns

from cnnlab.data import photos
from cnnlab.methods import top
from cnnlab.nets import models

IMAGES, SIZE, BATCH, ROUNDS, K = 2000, 64, 32, 3, 9
LAYERS = ("conv1", "relu1", "relu3")


def part_of(model, layer):
    """The network up to a layer: running it does nothing else, and keeps nothing."""
    return model[: [name for name, _ in model.named_children()].index(layer) + 1]


def bare(model, images, layer, channels_last=False):
    part = part_of(model, layer)
    with torch.no_grad():
        for some in images.split(BATCH):
            part(some.contiguous(memory_format=torch.channels_last) if channels_last else some)


def store_and_sort(model, images, layer):
    part = part_of(model, layer)
    with torch.no_grad():
        maps = torch.cat([part(some).flatten(2) for some in images.split(BATCH)])  # (N, C, places)
    values, positions = maps.max(dim=2)
    order = values.sort(dim=0, descending=True, stable=True).indices[:K]
    return values.gather(0, order), positions.gather(0, order)


def scan(model, images, layer, **options):
    return top.scan(model, images, layer, k=K, batch=BATCH, **options)


WAYS = {
    "bare": bare,
    "top.scan": scan,
    "top.scan, 3 per image": lambda *given: scan(*given, per_image=3),
    "bare, channels last": lambda *given: bare(*given, channels_last=True),
    "top.scan, channels last": lambda *given: scan(*given, channels_last=True),
    "store and sort": store_and_sort,
}


def rows(quick: bool = False) -> Iterator[Row]:
    """For the table of all benchmarks; one thread, as in `main`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model, images = models.load("photonet"), photos.crops(SIZE, 400 if quick else IMAGES).images
    for layer in LAYERS[2:] if quick else LAYERS:
        ways = {"bare": bare, "ours": scan, "sort": store_and_sort}
        seconds = in_turns(
            {name: partial(way, model, images, layer) for name, way in ways.items()}, ROUNDS, False
        )
        best = {name: min(times) for name, times in seconds.items()}
        what = f"top 9 of {len(images)} crops, {layer}, all channels"
        yield Row(what, best["ours"], "bare pass to the layer", best["bare"], 1 / 0.85)
        yield Row(what, best["ours"], "store and sort", best["sort"])
    torch.set_num_threads(threads)


def peak(way, layer):
    """Megabytes that a way needs beyond images and network, measured in a fresh process."""
    code = (
        "import re, sys, torch\nsys.path.insert(0, 'tests/benchmarks')\nimport top_scan as b\n"
        "torch.set_num_threads(1)\n"
        f"given = b.models.load('photonet'), b.photos.crops(b.SIZE, b.IMAGES).images, {layer!r}\n"
        "top = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024\n"
        f"open('/proc/self/clear_refs', 'w').write('5')\nbefore = top()\n"
        f"b.WAYS[{way!r}](*given)\nprint(round(top() - before))"
    )
    return int(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )


def main():
    torch.set_num_threads(1)
    model, images = models.load("photonet"), photos.crops(SIZE, IMAGES).images
    for layer in LAYERS:
        ways = {way: partial(run, model, images, layer) for way, run in WAYS.items()}
        seconds = in_turns(ways, ROUNDS, warm=False)
        print(f"{layer}, {IMAGES} images of {SIZE} x {SIZE}")
        limit = min(seconds["bare"])
        for way, times in seconds.items():
            middle, memory = min(times), peak(way, layer)
            print(
                f"  {way:24} {middle:6.2f} s  speed {limit / middle:5.2f} of bare  {memory:5} MB", flush=True
            )


if __name__ == "__main__":
    main()
