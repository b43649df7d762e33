"""torchvision's famous networks under names that a lecture can say aloud: `conv1`, not `features.0`.

The modules are torchvision's own, only their order is written out: so torchvision's weights load unchanged,
and every layer can be recorded, edited and explained by its name. The first layer normalises.
"""

from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

from cnnlab.data.loading import checked_download
from cnnlab.errors import unknown
from cnnlab.nets.small import Net, Normalise

NAMES = ("alexnet", "vgg16", "resnet18", "squeezenet1_0", "googlenet")
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def build(name: str) -> Net:
    """The network with random weights.

    Raises:
        LookupError: there is no such network.
    """
    if name not in NAMES:
        raise unknown("network", name, NAMES)
    from torchvision import models
    from torchvision.models import _meta

    extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    return _renamed(name, models.get_model(name, weights=None, **extra), _meta._IMAGENET_CATEGORIES)


def load(name: str) -> Net:
    """The network with its ImageNet weights: from torch's cache (TORCH_HOME), or fetched into it.

    Raises:
        LookupError: there is no such network.
        ConnectionError: the weights are not in the cache, and there is no network.
        OSError: the weights are damaged.
    """
    if name not in NAMES:
        raise unknown("network", name, NAMES)
    from torchvision import models

    weights = _weights(name)
    state = _state(weights.url)
    if name == "googlenet":  # what only its training needed
        state = OrderedDict((key, value) for key, value in state.items() if not key.startswith("aux"))
        plain = models.get_model(name, weights=None, aux_logits=False, init_weights=False)
    else:
        plain = models.get_model(name, weights=None)
    try:
        plain.load_state_dict(state)
    except RuntimeError as error:
        raise OSError(f"the weights of '{name}' do not fit it: {error}") from error
    return _renamed(name, plain, weights.meta["categories"])


def is_here(name: str) -> bool:
    """Are its ImageNet weights on this machine, so that `load` needs no network?

    Raises:
        LookupError: there is no such network.
    """
    if name not in NAMES:
        raise unknown("network", name, NAMES)
    return _file(_weights(name).url).is_file()


def _weights(name: str):
    """The first weights that torchvision published: those that the papers of the field explain."""
    from torchvision import models

    return models.get_model_weights(name).IMAGENET1K_V1


def _file(url: str) -> Path:
    from torch import hub

    return Path(hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]


def _state(url: str) -> dict[str, torch.Tensor]:
    """torchvision's own loading path; a download before it, so that no network is noticed within seconds."""
    from torch import hub

    path = _file(url)
    folder, file = path.parent, path.name
    if not (folder / file).is_file():
        digest = file.rsplit("-", 1)[1].split(".")[0]  # torchvision's file names carry the sha256's beginning
        instead = 'models.load("photonet")'
        with checked_download.careful(folder, file, instead, "TORCH_HOME"):
            if not (folder / file).is_file():  # another process may have fetched it while this one waited
                checked_download.fetch(checked_download.File(file, (url,), digest, "sha256"), folder)
    try:
        # weights_only: tensors alone are read, no objects are made from what a file says.
        state = hub.load_state_dict_from_url(url, map_location="cpu", progress=False, weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(each, torch.Tensor) for each in state.values()):
            raise ValueError("it holds something other than named tensors")
        return state
    except Exception as error:  # a cut zip, a pickle with objects in it: torch raises a dozen kinds
        raise OSError(
            f"{folder / file} is damaged ({type(error).__name__}: {str(error)[:80]}). "
            f"Delete it, and it is fetched again."
        ) from error


def _renamed(name: str, plain: nn.Module, classes: list[str]) -> Net:
    mean, std = (_MEAN, _STD) if name != "googlenet" else ((0.5,) * 3, (0.5,) * 3)
    # GoogLeNet's weights came from a library that normalises with 0.5; torchvision's forward puts that right.
    layers = [("norm", Normalise(mean, std)), *_LAYERS[name](plain)]
    return Net(layers, tuple(classes), (3, 224, 224)).eval()


def _counted(modules: nn.Sequential) -> list[tuple[str, nn.Module]]:
    """conv1, relu1, pool1, conv2, …: a ReLU has the number of its convolution."""
    kinds = {nn.Conv2d: "conv", nn.ReLU: "relu", nn.MaxPool2d: "pool"}
    counts = dict.fromkeys(("conv", "pool"), 0)
    layers = []
    for module in modules:
        kind = kinds[type(module)]
        counts[kind] = counts.get(kind, 0) + 1
        layers.append((f"{kind}{counts['conv' if kind == 'relu' else kind]}", module))
    return layers


def _alexnet(plain: nn.Module) -> list[tuple[str, nn.Module]]:
    drop6, dense6, relu6, drop7, dense7, relu7, dense8 = plain.classifier
    head = [("drop6", drop6), ("dense6", dense6), ("relu6", relu6), ("drop7", drop7), ("dense7", dense7)]
    return [
        *_counted(plain.features),
        ("mean", plain.avgpool),
        ("flatten", nn.Flatten()),
        *head,
        ("relu7", relu7),
        ("dense8", dense8),
    ]


def _vgg16(plain: nn.Module) -> list[tuple[str, nn.Module]]:
    names = ("dense14", "relu14", "drop14", "dense15", "relu15", "drop15", "dense16")
    return [
        *_counted(plain.features),
        ("mean", plain.avgpool),
        ("flatten", nn.Flatten()),
        *zip(names, plain.classifier, strict=True),
    ]


def _resnet18(plain: nn.Module) -> list[tuple[str, nn.Module]]:
    blocks = [
        (f"block{stage}{letter}", block)
        for stage in range(1, 5)
        for letter, block in zip("ab", getattr(plain, f"layer{stage}"), strict=True)
    ]
    start = [("conv1", plain.conv1), ("bn1", plain.bn1), ("relu1", plain.relu), ("pool1", plain.maxpool)]
    return [*start, *blocks, ("gap", plain.avgpool), ("flatten", nn.Flatten()), ("dense", plain.fc)]


def _squeezenet(plain: nn.Module) -> list[tuple[str, nn.Module]]:
    layers, pools, fires = [], 0, 1
    for module in plain.features:
        if isinstance(module, nn.MaxPool2d):
            pools += 1
            layers.append((f"pool{pools}", module))
        elif isinstance(module, nn.Conv2d | nn.ReLU):
            layers.append(("conv1" if isinstance(module, nn.Conv2d) else "relu1", module))
        else:
            fires += 1  # the paper counts the first convolution as layer 1, so the fires start at 2
            layers.append((f"fire{fires}", module))
    names = ("drop10", "conv10", "relu10", "gap")
    return [*layers, *zip(names, plain.classifier, strict=True), ("flatten", nn.Flatten())]


def _googlenet(plain: nn.Module) -> list[tuple[str, nn.Module]]:
    names = "conv1 maxpool1 conv2 conv3 maxpool2 inception3a inception3b maxpool3 inception4a inception4b"
    names += " inception4c inception4d inception4e maxpool4 inception5a inception5b avgpool"
    called = {"maxpool": "pool", "avgpool": "gap"}
    layers = []
    for name in names.split():
        short = name.rstrip("1234")
        layers.append((name.replace(short, called[short]) if short in called else name, getattr(plain, name)))
    return [*layers, ("flatten", nn.Flatten()), ("drop", plain.dropout), ("dense", plain.fc)]


_LAYERS = {
    "alexnet": _alexnet,
    "vgg16": _vgg16,
    "resnet18": _resnet18,
    "squeezenet1_0": _squeezenet,
    "googlenet": _googlenet,
}
