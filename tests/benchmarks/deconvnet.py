"""What a projection costs: both ways against one plain forward and backward pass, and against captum.

Run `python tests/benchmarks/deconvnet.py`. All are timed in turn within one run; it prints medians and
ratios, and is no test. `unit inside` is one half way up; the others explain a class.
"""

import warnings
from collections.abc import Callable, Iterator

import captum.attr
import torch
from side_by_side import Row, in_turns, medians

from cnnlab.methods import deconvnet
from cnnlab.nets import models
from cnnlab.probing import Unit

ROUNDS = 15
CASES = [("photonet", 1, 64), ("photonet", 9, 64), ("alexnet", 1, 224), ("resnet18", 1, 128)]
HEAD = ("plain", "project", "layer by layer", "captum", "unit inside")


def ways(name: str, n: int, size: int) -> dict[str, Callable]:
    """Who -> what to run; captum is left out where it refuses, as of shared ReLUs."""
    model = models.build(name)
    inside = {"photonet": "relu3", "alexnet": "relu3", "resnet18": "block2a"}[name]
    x = torch.rand(n, 3, size, size)
    top, middle = Unit(list(model._modules)[-1], 2), Unit(inside, 2)

    def plain():
        leaf = x.clone().requires_grad_()
        torch.autograd.grad(model(leaf)[:, 2].sum(), leaf)

    found = {
        "plain": plain,
        "project": lambda: deconvnet.project(model, x, top, initial="one"),
        "layer by layer": lambda: deconvnet.layer_by_layer(model, x, top),
        "unit inside": lambda: deconvnet.project(model, x, middle),
    }
    if name != "resnet18":
        peer = captum.attr.Deconvolution(model)
        found["captum"] = lambda: peer.attribute(x.clone().requires_grad_(), target=2)
    return found


def rows(quick: bool = False) -> Iterator[Row]:
    """For the table of all benchmarks."""
    for name, n, size in CASES[:1] if quick else CASES:
        told = medians(in_turns(ways(name, n, size), 5 if quick else ROUNDS))
        what = f"deconvnet of {name}, {n} x {size} px"
        if "captum" in told:
            yield Row(what, told["project"], "captum", told["captum"])
        yield Row(what, told["project"], "pass forward and back", told["plain"])


def main() -> None:
    warnings.simplefilter("ignore")
    print(" " * 16 + "".join(f"{name:>{9 if name == 'plain' else 18}}" for name in HEAD))
    for case in CASES:
        told = medians(in_turns(ways(*case), ROUNDS))
        line = f"{case[0]} {case[1]}x{case[2]}".ljust(16) + f"{1000 * told['plain']:6.1f} ms"
        for name in HEAD[1:]:
            share = told.get(name, 0) / told["plain"]
            line += f"{1000 * told[name]:9.1f} ms{share:5.2f}x" if name in told else f"{'-':>18}"
        print(line)


if __name__ == "__main__":
    main()
