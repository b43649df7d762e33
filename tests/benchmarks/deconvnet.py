"""What a projection costs: both ways against one plain forward and backward pass, and against captum.

Run `python tests/benchmarks/deconvnet.py`. All are timed in turn within one run; it prints medians and
ratios, and is no test. `unit inside` is one half way up; the others explain a class.
"""

import statistics
import time
import warnings

import captum.attr
import torch

from cnnlab.methods import deconvnet
from cnnlab.nets import models
from cnnlab.probing import Unit

ROUNDS = 15


def main() -> None:
    warnings.simplefilter("ignore")
    print(f"{'':16}{'plain':>9}{'project':>18}{'layer by layer':>18}{'captum':>18}{'unit inside':>18}")
    for name, n, size in [
        ("photonet", 1, 64),
        ("photonet", 9, 64),
        ("alexnet", 1, 224),
        ("resnet18", 1, 128),
    ]:
        model = models.build(name)
        inside = {"photonet": "relu3", "alexnet": "relu3", "resnet18": "block2a"}[name]
        x = torch.rand(n, 3, size, size)
        top, middle = Unit(list(model._modules)[-1], 2), Unit(inside, 2)
        peer = captum.attr.Deconvolution(model) if name != "resnet18" else None  # refuses shared ReLUs

        def plain(model=model, x=x):
            leaf = x.clone().requires_grad_()
            torch.autograd.grad(model(leaf)[:, 2].sum(), leaf)

        ways = {
            "plain": plain,
            "project": lambda m=model, x=x, u=top: deconvnet.project(m, x, u, start="one"),
            "layers": lambda m=model, x=x, u=top: deconvnet.layer_by_layer(m, x, u),
            "captum": lambda x=x, p=peer: p and p.attribute(x.clone().requires_grad_(), target=2),
            "inside": lambda m=model, x=x, u=middle: deconvnet.project(m, x, u),
        }
        seconds = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, run in ways.items():
                start = time.perf_counter()
                run()
                seconds[way].append(time.perf_counter() - start)
        medians = {way: 1000 * statistics.median(times) for way, times in seconds.items()}
        line = f"{name + f' {n}x{size}':16}{medians.pop('plain'):6.1f} ms"
        base = 1000 * statistics.median(seconds["plain"])
        for way, ms in medians.items():
            line += f"{'-':>18}" if way == "captum" and peer is None else f"{ms:9.1f} ms{ms / base:5.2f}x"
        print(line)


if __name__ == "__main__":
    main()
