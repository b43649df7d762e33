"""torchvision's networks under our names: the same numbers, the real loading path, and no network."""

import shutil
import time

import pytest
import torch

from cnnlab.nets import models, pretrained
from cnnlab.probing import Recorder

_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


@pytest.mark.parametrize("name", pretrained.NAMES)
def test_the_same_numbers_as_torchvision(name):
    from torchvision import models as zoo

    extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = zoo.get_model(name, weights=None, **extra).eval()
        if name == "googlenet":
            plain.transform_input = True  # as with its ImageNet weights
    ours = models.build(name, seed=0)
    images = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        expected = plain((images - _MEAN) / _STD)
        assert torch.allclose(ours(images), expected, atol=1e-5 * expected.abs().max().item())
    assert len(ours.classes) == expected.shape[1] == 1000 and ours.input_size == (3, 224, 224)
    assert ours.classes[1] == "goldfish" and not ours.training


@pytest.mark.parametrize(
    ("name", "layers"),
    (
        (
            "alexnet",
            ["conv1", "relu1", "pool1", "conv2", "conv5", "relu5", "pool3", "dense6", "relu7", "dense8"],
        ),
        ("vgg16", ["conv1", "relu13", "pool5", "dense14", "dense16"]),
        ("resnet18", ["conv1", "bn1", "block1a", "block4b", "gap", "dense"]),
        ("squeezenet1_0", ["conv1", "fire2", "fire9", "conv10", "gap"]),
        ("googlenet", ["conv1", "pool1", "conv3", "inception3a", "inception5b", "gap", "dense"]),
    ),
)
def test_the_layers_have_names_that_can_be_recorded(name, layers):
    model = models.build(name)
    assert [layer for layer in dict(model.named_children()) if layer in layers] == layers
    with torch.no_grad(), Recorder(model, *layers) as seen:
        model(torch.rand(1, 3, 224, 224))
    assert all(seen[layer].shape[0] == 1 for layer in layers)


def test_building_leaves_the_random_state_alone():
    state = torch.get_rng_state()
    first, again, other = (models.build("resnet18", seed=seed).conv1.weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def test_squeezenet_through_torchvisions_own_loading(shared, hub):
    """Its real weights know a goldfish when they see one, which random ones do not."""
    from cnnlab.data.loading import tiny_imagenet

    shutil.copytree(shared / "torch" / "hub" / "checkpoints", hub)
    model = models.load("squeezenet1_0")
    test = tiny_imagenet.load(shared / tiny_imagenet.FILES[0], "test")
    fish = torch.nn.functional.interpolate(test.images[:50], 224, mode="bilinear")
    butterflies = torch.nn.functional.interpolate(test.images[450:500], 224, mode="bilinear")
    with torch.no_grad():
        right = (
            (model(fish).argmax(1) == 1).float().mean(),
            (model(butterflies).argmax(1) == 323).float().mean(),
        )
    assert min(right) > 0.1  # chance is 0.001, and the images are blurred ones of 64 pixels


asked = []


def refused(*args, **kwargs):
    asked.append(args)
    raise ConnectionError("no route to host")


@pytest.mark.parametrize("name", pretrained.NAMES)
def test_no_network_is_told_at_once_and_names_the_embedded_net(name, hub, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", refused)
    monkeypatch.setattr(time, "sleep", lambda seconds: asked.append(seconds))
    asked.clear()
    with pytest.raises(ConnectionError, match=rf"{name}.*photonet"):
        models.load(name)
    assert len(asked) == 1  # once, and no waiting
    assert [path for path in hub.iterdir() if path.is_file()] == []


def test_a_damaged_cache_is_told(hub):
    hub.mkdir(parents=True)
    file = hub / "squeezenet1_0-b66bff10.pth"
    file.write_bytes(b"not a checkpoint")
    with pytest.raises(OSError, match="squeezenet1_0-b66bff10.pth is damaged.*Delete it"):
        models.load("squeezenet1_0")
    torch.save({"features.0.weight": torch.zeros(1)}, file)
    with pytest.raises(OSError, match="do not fit"):
        models.load("squeezenet1_0")
    for other in ([torch.zeros(1)], {"features.0.weight": 3}):
        torch.save(other, file)
        with pytest.raises(OSError, match="something other than named tensors"):
            models.load("squeezenet1_0")


def test_a_cache_with_code_in_it_is_not_run(hub, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    hub.mkdir(parents=True)
    torch.save(Trap(), hub / "squeezenet1_0-b66bff10.pth")
    with pytest.raises(OSError, match="is damaged"):
        models.load("squeezenet1_0")
    assert not (tmp_path / "sprung").exists()


def test_a_download_with_the_wrong_hash_is_not_kept(hub, monkeypatch):
    import io

    monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: io.BytesIO(b"something else"))
    with pytest.raises(OSError, match="squeezenet1_0-b66bff10.pth came damaged or cut short"):
        models.load("squeezenet1_0")
    assert [path for path in hub.iterdir() if path.is_file()] == []
