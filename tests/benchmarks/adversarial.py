"""What the attacks of lecture 10 cost: against the raw passes that they need, torchattacks and foolbox.

Run `python tests/benchmarks/adversarial.py [threads] [rounds] [networks]`. "passes" are those forward and
back of the network as it is, in one batch, with `autograd.grad` for the image only: one for FGSM, ten for
PGD. "and told" has the passes forward, too, that say what the network answers afterwards (PGD from a random
start: and before). All run in turn within one process; printed are medians, and ratios to "passes". Then
what each attack achieves at the same eps, judged by the same passes: the share fooled and the mean size of
the change. foolbox is among what the tests need; torchattacks is left out where it is not installed. No test.
"""

import statistics
import sys
import time
import warnings

import torch
import torch.nn.functional as F
from torch import nn

from cnnlab.data import digits, photos
from cnnlab.methods.adversarial import evaluated, fgsm, pgd
from cnnlab.nets import models

# network, side, images, eps
NETS = [
    ("simpleconvnet", 28, 64, 0.1),
    ("photonet", 64, 64, 2 / 255),
    ("resnet18", 64, 64, 2 / 255),
    ("resnet18", 224, 8, 2 / 255),
]
STEPS = 10


def network(name: str) -> nn.Module:
    if name != "resnet18":
        return models.load(name)
    import torchvision

    torch.manual_seed(0)
    return torchvision.models.resnet18(weights=None).eval()


class Raw:
    """The passes alone."""

    def __init__(self, model: nn.Module, x: torch.Tensor, eps: float):
        self.model, self.x, self.eps = model, x, eps
        with torch.no_grad():
            self.labels = model(x).argmax(dim=1)

    def gradient(self, x):
        leaf = x.clone().requires_grad_()
        loss = F.cross_entropy(self.model(leaf), self.labels, reduction="sum")
        return torch.autograd.grad(loss, leaf)[0]

    def run(self, steps: int, looks: int):
        for _ in range(steps):
            self.gradient(self.x)
        with torch.no_grad():
            for _ in range(looks):
                self.model(self.x)


def ways(raw: Raw) -> dict[str, dict[str, object]]:
    """Attack -> who -> what to run; ours and the peers' give images."""
    model, x, eps, labels = raw.model, raw.x, raw.eps, raw.labels
    alpha = 2.5 * eps / STEPS
    found = {
        "FGSM": {
            "passes": lambda: raw.run(1, 0),
            "and told": lambda: raw.run(1, 1),
            "ours": lambda: fgsm(model, x, eps).images,
        },
        f"PGD-{STEPS}": {
            "passes": lambda: raw.run(STEPS, 0),
            "and told": lambda: raw.run(STEPS, 2),
            "ours": lambda: pgd(model, x, eps, steps=STEPS).images,
        },
    }
    try:
        import torchattacks

        one, many = (
            torchattacks.FGSM(model, eps=eps),
            torchattacks.PGD(model, eps=eps, alpha=alpha, steps=STEPS),
        )
        found["FGSM"]["torchattacks"] = lambda: one(x, labels)
        found[f"PGD-{STEPS}"]["torchattacks"] = lambda: many(x, labels)
    except ImportError:
        pass
    try:
        import foolbox

        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        first = foolbox.attacks.LinfFastGradientAttack()
        second = foolbox.attacks.LinfPGD(abs_stepsize=alpha, steps=STEPS)
        found["FGSM"]["foolbox"] = lambda: first(wrapped, x, labels, epsilons=eps)[1]
        found[f"PGD-{STEPS}"]["foolbox"] = lambda: second(wrapped, x, labels, epsilons=eps)[1]
    except ImportError:
        pass
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    for name, size, count, eps in NETS:
        if len(sys.argv) > 3 and name not in sys.argv[3:]:
            continue
        model = network(name)
        grey = name == "simpleconvnet"
        x = digits.load("test").images[:count] if grey else photos.crops(size=size, n=count).images
        raw = Raw(model, x, eps)
        for attack, who in ways(raw).items():
            seconds: dict[str, list[float]] = {each: [] for each in who}
            for count in range(rounds + 1):
                for each, run in who.items():
                    began = time.perf_counter()
                    run()
                    if count:  # the first round warms up
                        seconds[each].append(time.perf_counter() - began)
            middle = {each: 1000 * statistics.median(times) for each, times in seconds.items()}
            line = f"{name:13} {size:3} px  {attack:6}  passes {middle['passes']:8.1f} ms"
            for each in who:
                if each != "passes":
                    line += f"   {each} {middle[each] / middle['passes']:.2f}"
            print(line, flush=True)
            for each, run in who.items():
                if each not in ("passes", "and told"):
                    found = evaluated(model, x, run().detach(), labels=raw.labels)
                    change = f"linf {255 * found.linf.mean():.2f}/255, l2 {found.l2.mean():.3f}"
                    print(f"{'':24} {each:12} fooled {found.success_rate:.1%}, {change}", flush=True)


if __name__ == "__main__":
    main()
