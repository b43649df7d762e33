"""What a step of `dream.render` costs: against the raw forward and backward passes, and against lucent.

Run `python tests/benchmarks/dream.py [folder of lucent]`. Raw is the same network, frozen and with its
channels last, as far as the same layer, at the same size: no image to make, no moves, no steps. All are
timed in turn within one run; it prints medians and ratios, and is no test. lucent (`pip install --no-deps
--target FOLDER torch-lucent`) is left out where it is not there.
"""

import copy
import io
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout

import torch
from side_by_side import Row, in_turns
from torch import nn

from cnnlab.methods import dream
from cnnlab.nets import models
from cnnlab.probing import Recorder

ROUNDS, STEPS = 3, 64
CASES = [
    ("photonet", "relu5", 64, 1),
    ("photonet", "relu5", 64, 4),
    ("photonet", "relu3", 64, 1),
    ("alexnet", "relu5", 128, 1),
]


def ways(name: str, layer: str, size: int, batch: int, lucent: Callable | None = None) -> dict[str, Callable]:
    """Who -> what to run; each of them STEPS steps."""
    model = models.load(name) if name == "photonet" else models.build(name)
    fast = copy.deepcopy(model).requires_grad_(False).to(memory_format=torch.channels_last)
    objective = dream.channel(layer, list(range(batch)))
    x = torch.rand(batch, 3, size, size).to(memory_format=torch.channels_last)

    def raw():
        for _ in range(STEPS):
            leaf = x.clone().requires_grad_()
            with Recorder(fast, layer, stop=True, grad=True) as acts:
                fast(leaf)
            torch.autograd.grad(acts[layer].mean(), leaf)

    def whole():
        for _ in range(STEPS):
            leaf = x.clone().requires_grad_()
            torch.autograd.grad(fast(leaf)[:, 2].sum(), leaf)

    found = {
        "whole": whole,
        "raw": raw,
        "render": lambda: dream.render(model, objective, size=size, steps=STEPS),
        "still": lambda: dream.render(model, objective, size=size, steps=STEPS, transforms=()),
    }
    if lucent is not None:
        found["lucent"] = lambda: lucent(fast, layer, size, batch)
    return found


def rows(quick: bool = False) -> Iterator[Row]:
    """For the table of all benchmarks."""
    for name, layer, size, batch in CASES[:1] if quick else CASES:
        run = ways(name, layer, size, batch)
        seconds = in_turns({way: run[way] for way in ("whole", "raw", "render")}, ROUNDS)
        whole, raw, ours = (statistics.median(seconds[way]) / STEPS for way in ("whole", "raw", "render"))
        what = f"a step of dream.render, {name} {layer}, {batch} x {size} px"
        yield Row(what, ours, "raw passes of the model", whole, 1 / 0.9)
        yield Row(what, ours, "raw passes to the layer", raw)
    model = models.load("photonet")
    whole = in_turns({"ours": lambda: dream.render(model, dream.channel("relu5", 0), size=64)}, ROUNDS)
    yield Row("a whole superstimulus, 64 px", statistics.median(whole["ours"]), "what was asked", 5.0, 1.0)


def main() -> None:
    warnings.simplefilter("ignore")
    lucent = lucents(sys.argv[1]) if len(sys.argv) > 1 else None
    print(f"steps a second, {torch.get_num_threads()} threads; in brackets: of the raw passes to the layer")
    print(f"{'':30}{'whole net':>11}{'raw':>9}{'render':>17}{'still':>17}{'lucent':>17}")
    for name, layer, size, batch in CASES:
        seconds = in_turns(ways(name, layer, size, batch, lucent), ROUNDS)
        line = f"{name + ' ' + layer + f' {batch}x{size}':30}"
        base = statistics.median(seconds["raw"]) / STEPS
        for way in ("whole", "raw", "render", "still", "lucent"):
            if way not in seconds:
                line += f"{'-':>17}"
                continue
            median = statistics.median(seconds[way]) / STEPS
            # Paired within a round, so that what else the machine does falls out.
            share = statistics.median(r / s for r, s in zip(seconds["raw"], seconds[way], strict=True))
            line += f"{1 / median:{11 if way == 'whole' else 9}.1f}"
            line += f" ({share:4.2f})".rjust(8) if way not in ("whole", "raw") else ""
        print(line, f" raw {1000 * base:.1f} ms", flush=True)


def lucents(folder: str):
    """One call of lucent as a function, or None."""
    sys.path.append(folder)
    try:
        from lucent.optvis import objectives, param, render
    except Exception as error:  # noqa: BLE001  (whatever it lacks, the rest of the table is wanted)
        print(f"lucent left out: {error!r}")
        return None

    def run(model: nn.Module, layer: str, size: int, batch: int) -> None:
        wanted = sum(
            (objectives.channel(layer, k, batch=k) for k in range(1, batch)),
            objectives.channel(layer, 0, batch=0),
        )
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            render.render_vis(
                model,
                wanted,
                lambda: param.image(size, batch=batch),
                thresholds=(STEPS,),
                show_image=False,
                progress=False,
                preprocess=False,
                fixed_image_size=size,
            )

    return run


if __name__ == "__main__":
    main()
