"""What occlusion costs: both of our ways against captum at its best setting, and against the bare passes.

Run `python tests/benchmarks/occlusion.py [network …]`. All run in turn within one round, with two threads, so
that noise hits all; it prints medians, their ratio to the fastest setting of captum (windows per pass, with
and without the channels last), and the peak memory of each beyond image and network, in a process of its
own (Linux). It is no test. `limit` is nothing but whole images through the network, channels last.
"""

import copy
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import partial

import captum.attr
import torch
from side_by_side import Row, in_turns, medians

from cnnlab.methods import occlusion
from cnnlab.nets import models

CASES = {  # pixels, window, stride, rounds
    "simpleconvnet": (28, 7, 2, 9),
    "photonet": (64, 8, 4, 9),
    "alexnet": (224, 16, 16, 3),
    "resnet18": (224, 16, 16, 3),
    "vgg11": (224, 16, 16, 1),
}
ASKED = {"photonet": 0.5, "alexnet": 0.45, "resnet18": 0.30, "vgg11": 0.12}  # of captum at its best
SETTINGS = [(windows, last) for windows in (8, 32, 64) for last in (False, True)]


def build(name):
    if name == "vgg11":
        from torchvision.models import vgg11

        with torch.random.fork_rng(devices=[]):
            return vgg11(weights=None).eval(), torch.rand(1, 3, 224, 224)
    model = models.load(name) if CASES[name][0] < 100 else models.build(name)
    return model, torch.rand(1, model.input_size[0], CASES[name][0], CASES[name][0])


def peer(model, image, window, stride, windows, channels_last):
    if channels_last:
        image = image.contiguous(memory_format=torch.channels_last)
    channels = image.shape[1]
    with torch.no_grad():
        return captum.attr.Occlusion(model).attribute(
            image,
            (channels, window, window),
            (channels, stride, stride),
            target=2,
            perturbations_per_eval=windows,
        )[:, :1]


def limit(model, image, window, stride):
    """As many whole images as there are windows, 32 in a pass."""
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    left = (-(-(image.shape[2] - window) // stride) + 1) ** 2
    image = image.expand(32, -1, -1, -1).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        while left > 0:
            last(image[:left])
            left -= 32


def ours(model, image, window, stride, engine):
    return occlusion.heatmap(model, image, 2, window=window, stride=stride, engine=engine).map


WAYS = {
    f"captum {windows}{', last' if last else ''}": lambda *given, s=(windows, last): peer(*given, *s)
    for windows, last in SETTINGS
} | {
    "limit": limit,
    "batches": lambda *given: ours(*given, "batches"),
    "incremental": lambda *given: ours(*given, "incremental"),
    "auto": lambda *given: ours(*given, "auto"),
}


def rows(quick: bool = False) -> Iterator[Row]:
    """For the table of all benchmarks."""
    for name in list(CASES)[:2] if quick else CASES:
        (size, window, stride, rounds), given = CASES[name], build(name)
        chosen = {way: run for way, run in WAYS.items() if way.startswith("captum") or way == "auto"}
        run = {way: partial(each, *given, window, stride) for way, each in chosen.items()}
        told = medians(in_turns(run, 3 if quick else rounds, warm=size < 100))
        best = min((way for way in told if way != "auto"), key=told.get)
        what = f"occlusion of {name}, {size} px, {window}/{stride}"
        yield Row(what, told["auto"], best, told[best], ASKED.get(name))


def peak(name, way):
    """Megabytes beyond image and network, measured in a fresh process."""
    code = (
        "import re, sys, torch\nsys.path.insert(0, 'tests/benchmarks')\nimport occlusion as b\n"
        f"torch.set_num_threads(2)\ngiven = *b.build({name!r}), *b.CASES[{name!r}][1:3]\n"
        "top = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024\n"
        "open('/proc/self/clear_refs', 'w').write('5')\nbefore = top()\n"
        f"b.WAYS[{way!r}](*given)\nprint(round(top() - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


def main():
    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    for name in sys.argv[1:] or CASES:
        (size, window, stride, rounds), (model, image) = CASES[name], build(name)
        maps = {}

        def keep(way, model=model, image=image, window=window, stride=stride, maps=maps):
            maps[way] = WAYS[way](model, image, window, stride)

        middle = medians(in_turns({way: partial(keep, way) for way in WAYS}, rounds, warm=False))
        best = min((way for way in WAYS if way.startswith("captum")), key=middle.get)
        far = (maps["incremental"] - maps["captum 32"]).abs().max() / maps["captum 32"].abs().max()
        print(f"{name}, {size} px, window {window}, stride {stride}: {far:.0e} of the peak from captum")
        for way, taken in middle.items():
            memory = peak(name, way) if way in (best, "batches", "incremental") else ""
            ratio = f"{taken / middle[best]:6.2f} of {best}"
            print(f"  {way:18} {taken:8.3f} s {ratio:26} {memory:>5}{' MB' if memory else ''}", flush=True)


if __name__ == "__main__":
    main()
