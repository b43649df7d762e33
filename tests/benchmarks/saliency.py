"""What the maps of lecture 06 cost: against the raw passes that they need, captum, and torch-cam if there.

Run `python tests/benchmarks/saliency.py [threads]`. Two measures, both of the bare passes in the same chunks,
with `autograd.grad` for the image only. "passes" are those of the network as it is. The "limit" is a frozen
copy of it with its channels side by side; of guided backprop with a ReLU that does nothing but its rule, of
Grad-CAM cut in two at the layer. All run in turn within one process; printed are medians, and ratios to the
limit. Then the peak memory of integrated gradients, each in a process of its own (Linux). It is no test.
"""

import copy
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator

import torch
from side_by_side import Row, in_turns, medians
from torch import nn

from cnnlab.methods import saliency
from cnnlab.nets import models
from cnnlab.probing import layer

LAST = torch.channels_last
NETS = [("photonet", 64, 15), ("alexnet", 224, 7), ("resnet18", 224, 7)]
LONG = [("photonet", 64, 5), ("alexnet", 224, 3), ("resnet18", 224, 3)]
POSITIONS = {"photonet": "relu5", "alexnet": "features", "resnet18": "layer4"}
STEPS, BATCH, TARGET = 50, 16, 2


def torchvision_net(name: str) -> nn.Module:
    """With its own ReLUs: captum's hooks refuse shared ones, so resnet18 gets a ReLU for each place."""
    import torchvision

    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None).eval()
    for block in (part for part in model.modules() if type(part).__name__ == "BasicBlock"):
        block.relu2, block.__class__ = nn.ReLU(inplace=True), Block
    return model


class Block(nn.Module):
    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu2(out)


def network(name: str) -> nn.Module:
    return models.build(name) if name == "photonet" else torchvision_net(name)


class Bare(torch.autograd.Function):
    """ReLU with the guided rule and nothing else: what guided backprop needs at the least."""

    @staticmethod
    def forward(ctx, x):
        y = x.clamp_(min=0)
        ctx.mark_dirty(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        return torch.ops.aten.threshold_backward(g.clamp(min=0), *ctx.saved_tensors, 0)


class BareRelu(nn.Module):
    def forward(self, x):
        return Bare.apply(x)


class Raw:
    """The passes alone."""

    def __init__(self, model: nn.Module, name: str):
        self.own = model
        self.model = copy.deepcopy(model).requires_grad_(False).to(memory_format=LAST)
        self.bare, self.own_bare = _bare(self.model), _bare(model)
        self.halves, self.own_halves = _halves(self.model, name), _halves(model, name)

    def gradient(self, x, bare=False):
        leaf = x.clone(memory_format=LAST).requires_grad_()
        model = self.bare if bare else self.model
        return torch.autograd.grad(model(leaf)[:, TARGET].sum(), leaf)[0]

    def grad_cam(self, x, own=False):
        head, tail = self.own_halves if own else self.halves
        with torch.no_grad():
            maps = head(x.clone() if own else x.clone(memory_format=LAST)).requires_grad_()
        return torch.autograd.grad(tail(maps)[:, TARGET].sum(), maps)[0]

    def passes(self, x, bare=False):
        leaf = x.clone().requires_grad_()
        model = self.own_bare if bare else self.own
        return torch.autograd.grad(model(leaf)[:, TARGET].sum(), leaf)[0]

    def many(self, x, ends, own=False):
        """50 points in chunks; IG asks for the scores of both ends, SmoothGrad for that of the image."""
        total = torch.zeros_like(x)
        for first in range(0, STEPS, BATCH):
            run = self.passes if own else self.gradient
            total += run(x.expand(min(BATCH, STEPS - first), -1, -1, -1)).sum(0)
        with torch.no_grad():
            (self.own if own else self.model)(x.expand(ends, -1, -1, -1).contiguous(memory_format=LAST))
        return total


def _bare(model):
    model = copy.deepcopy(model)
    for part in list(model.modules()):
        for inner, each in part.named_children():
            if isinstance(each, nn.ReLU):
                setattr(part, inner, BareRelu())
    return model


def _halves(model, name):
    children = list(model.named_children())
    end = [each for each, _ in children].index(name) + 1
    head, tail = ([part for _, part in some] for some in (children[:end], children[end:]))
    return nn.Sequential(*head), nn.Sequential(tail[0], nn.Flatten(), *tail[1:])


def ways(model: nn.Module, x, name: str, long: bool) -> dict[str, dict[str, object]]:
    """Method -> who -> what to run."""
    from captum import attr

    raw, inner = Raw(model, name), layer(model, name)
    fresh = lambda: x.clone().requires_grad_()  # noqa: E731
    if long:
        ig, noise = attr.IntegratedGradients(model), attr.NoiseTunnel(attr.Saliency(model))
        options = {"target": TARGET, "nt_type": "smoothgrad", "nt_samples": STEPS, "stdevs": 0.15}
        return {
            "IG 50": {
                "limit": lambda: raw.many(x, 2),
                "passes": lambda: raw.many(x, 2, own=True),
                "ours": lambda: saliency.integrated_gradients(model, x, TARGET, steps=STEPS, batch=BATCH),
                "captum": lambda: ig.attribute(
                    x, target=TARGET, n_steps=STEPS, method="riemann_middle", internal_batch_size=BATCH
                ),
            },
            "SmoothGrad 50": {
                "limit": lambda: raw.many(x, 1),
                "passes": lambda: raw.many(x, 1, own=True),
                "ours": lambda: saliency.smoothgrad(model, x, TARGET, samples=STEPS, batch=BATCH),
                "captum": lambda: noise.attribute(x, nt_samples_batch_size=BATCH, abs=False, **options),
            },
        }
    plain, back, cam = attr.Saliency(model), attr.GuidedBackprop(model), attr.LayerGradCam(model, inner)
    found = {
        "gradient": {
            "limit": lambda: raw.gradient(x),
            "passes": lambda: raw.passes(x),
            "ours": lambda: saliency.gradient(model, x, TARGET),
            "captum": lambda: plain.attribute(fresh(), target=TARGET, abs=False),
        },
        "guided backprop": {
            "limit": lambda: raw.gradient(x, bare=True),
            "passes": lambda: raw.passes(x, bare=True),
            "ours": lambda: saliency.guided_backprop(model, x, TARGET),
            "captum": lambda: back.attribute(fresh(), target=TARGET),
        },
        "Grad-CAM": {
            "limit": lambda: raw.grad_cam(x),
            "passes": lambda: raw.grad_cam(x, own=True),
            "ours": lambda: saliency.grad_cam(model, x, TARGET, layer=name),
            "captum": lambda: cam.attribute(fresh(), target=TARGET),
        },
    }
    try:
        from torchcam.methods import GradCAM
    except ImportError:
        return found

    def theirs():
        with GradCAM(model, inner) as extractor:
            return extractor(TARGET, model(fresh()))

    found["Grad-CAM"]["torch-cam"] = theirs
    return found


def rows(quick: bool = False) -> Iterator[Row]:
    """For the table of all benchmarks."""
    for plan, long in ((NETS, False), (LONG, True)):
        for name, size, rounds in plan[:1] if quick else plan:
            model, x = network(name), torch.rand(1, 3, size, size)
            for method, who in ways(model, x, POSITIONS[name], long).items():
                told = medians(in_turns(who, 3 if quick else rounds))
                what = f"{method} of {name}, {size} px"
                yield Row(what, told["ours"], "raw passes, at their best", told["limit"], 1.1)
                for peer in ("captum", "torch-cam"):
                    if peer in told:
                        yield Row(what, told["ours"], peer, told[peer])


def peak(steps: int) -> int:
    """Megabytes that integrated gradients of alexnet need beyond the network, in a process of its own."""
    code = (
        "import re, sys, torch\nsys.path.insert(0, 'tests/benchmarks')\nimport saliency as b\n"
        "torch.set_num_threads(1)\nmodel, x = b.network('alexnet'), torch.rand(1, 3, 224, 224)\n"
        "top = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024\n"
        "open('/proc/self/clear_refs', 'w').write('5')\nbefore = top()\n"
        f"b.saliency.integrated_gradients(model, x, 2, steps={steps})\nprint(round(top() - before))"
    )
    # Freed memory goes back at once: otherwise it is the allocator's habits that are measured.
    room = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=room)
    found = done.stdout
    return int(re.search(r"\d+", found)[0])


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    told = False
    for plan, long in ((NETS, False), (LONG, True)):
        for name, size, rounds in plan:
            model, x = network(name), torch.rand(1, 3, size, size)
            for method, who in ways(model, x, POSITIONS[name], long).items():
                if method == "Grad-CAM" and "torch-cam" not in who and not told:
                    print("torch-cam is left out: it does not import here")
                    told = True
                middle = {each: 1000 * taken for each, taken in medians(in_turns(who, rounds)).items()}
                line = f"{name:9} {size:3} px  {method:13}  limit {middle['limit']:8.1f} ms"
                for each in ("passes", "ours", "captum", "torch-cam"):
                    if each in middle:
                        line += f"   {each} {middle[each] / middle['limit']:5.2f}"
                print(line, flush=True)
    for steps in (20, 500):
        print(f"IG of alexnet, {steps:3} steps: {peak(steps)} MB beyond the network", flush=True)


if __name__ == "__main__":
    main()
