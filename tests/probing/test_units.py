"""Units, layers by name, shapes; and that looking costs nothing at import."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from probed_nets import Residual, random_image, seeded, sequential, state
from torch import nn

from cnnlab.nets import models
from cnnlab.probing import Unit, layer, layers, representative_layers, shapes, unique_modules


def test_unit_picks_its_activation():
    a = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5).requires_grad_()
    assert torch.equal(Unit("c", 1).activation(a), a[:, 1])
    assert torch.equal(Unit("c", 2, 3, 4).activation(a), a[:, 2, 3, 4])
    assert torch.equal(Unit("fc", 2).activation(a[:, :, 0, 0]), a[:, 2, 0, 0])
    assert Unit("c", 1).activation(a).requires_grad
    assert Unit("c", 1) == Unit("c", 1, None, None)
    assert str(Unit("c", 1)) == "c, channel 1"


@pytest.mark.parametrize(
    "unit, shape, message",
    [
        (Unit("c", 3), (1, 3, 4, 4), "c has no channel 3: they go from 0 to 2"),
        (Unit("c", -1), (1, 3, 4, 4), "no channel -1"),
        (Unit("c", 0, 4, 0), (1, 3, 4, 4), "no row 4: they go from 0 to 3"),
        (Unit("c", 0, 0, 9), (1, 3, 4, 4), "no col 9"),
        (Unit("c", 0, 0), (1, 3, 4, 4), "needs row and col"),
        (Unit("fc", 0, 0, 0), (1, 3), r"no rows and columns .* Unit\('fc', 0\)"),
        (Unit("c", 0), (3, 4, 4), "must put out"),
    ],
)
def test_unit_refuses(unit, shape, message):
    with pytest.raises(ValueError, match=message):
        unit.activation(torch.zeros(shape))


def test_layers_by_name():
    model = Residual()
    assert layers(model)[:2] == ["conv1", "bn1"]
    assert layers(model, nn.Conv2d) == ["conv1", "conv2", "conv3"]
    assert layers(model, (nn.ReLU, nn.Linear)) == ["relu", "fc"]
    assert layer(model, "conv3") is model.conv3
    model.again = model.conv1
    assert layer(model, "again") is model.conv1 and "again" in layers(model)
    with pytest.raises(LookupError, match="no layer 'Conv3'. Did you mean 'conv3'"):
        layer(model, "Conv3")
    with pytest.raises(LookupError):
        layer(model, "")


def test_shapes_in_the_order_in_which_layers_finish():
    model = seeded(Residual).train()
    model.spare = nn.Linear(2, 2)
    x = random_image(17, n=2, dtype=torch.float32)
    before = state(model, x)
    assert shapes(model, x) == {
        "conv1": (2, 6, 9, 9),
        "bn1": (2, 6, 9, 9),
        "conv2": (2, 6, 9, 9),
        "bn2": (2, 6, 9, 9),
        "pool": (2, 12, 4, 4),
        "conv3": (2, 4, 4, 2),
        "relu": (2, 4, 4, 2),
        "fc": (2, 5),
    }
    assert state(model, x) == before
    with pytest.raises(RuntimeError):
        shapes(model, x[:, :1])
    assert state(model, x) == before


def test_shapes_of_large_networks(large):
    x = random_image(64 if large.name != "alexnet" else 96, dtype=torch.float32)
    assert list(shapes(large, x).values())[-1][:2] == (1, 1000)


def test_a_first_relu_in_place_does_not_touch_the_picture():
    x = random_image() - 0.5
    before = x.clone()
    shapes(nn.Sequential(nn.ReLU(inplace=True), *sequential().double()), x)
    assert torch.equal(x, before)


def test_nothing_heavy_is_imported():
    code = (
        "import torch, sys; before = set(sys.modules); import cnnlab.nets.layers, cnnlab.probing; "
        "print(sorted({m.split('.')[0] for m in set(sys.modules) - before} - {'cnnlab'}), "
        "'torch._dynamo' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["[]", "False"] or out.strip() == "['difflib'] False"


@pytest.mark.parametrize(
    ("name", "expected"),
    (
        ("photonet", ["relu1", "relu2", "relu3", "relu4", "relu5"]),
        ("alexnet", ["relu1", "relu2", "relu3", "relu4", "relu5"]),  # not those behind the dense layers
        ("resnet18", ["relu1", "block1b", "block2b", "block3b", "block4b"]),
        ("simpleconvnet", ["relu1", "relu2", "relu3"]),
    ),
)
def test_stages_go_from_the_first_layer_with_maps_to_the_last(name, expected):
    model = models.build(name)
    assert representative_layers(model, torch.zeros(1, *model.input_size)) == expected
    assert representative_layers(model, torch.zeros(1, *model.input_size), most=2) == [
        expected[0],
        expected[-1],
    ]


def test_stages_without_relus_or_without_maps():
    plain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3))
    assert representative_layers(plain, torch.zeros(1, 1, 8, 8)) == ["0", "1"]
    with pytest.raises(ValueError, match="no layer of this network puts out maps. Layers: 0, 1"):
        representative_layers(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.zeros(1, 1, 2, 2))


@pytest.mark.parametrize("position", ((True,), (0.5,), ("1",), (None,), (1, True, 0), (1, 2.0, 3)))
def test_a_unit_is_found_by_whole_numbers_alone(position):
    """a[:, True] adds an axis: the mean of it would be that of all channels, without a word."""
    with pytest.raises(ValueError, match="c has no (channel|row|col) .*: they go from 0 to 3"):
        Unit("c", *position).activation(torch.rand(1, 4, 4, 4))
    assert torch.equal(Unit("c", np.int64(2)).activation(x := torch.rand(1, 4, 4, 4)), x[:, 2])


def test_each_part_is_what_modules_says():
    shared = nn.ReLU()
    net = nn.Sequential(nn.Sequential(nn.Conv2d(1, 1, 1), shared), shared, nn.ModuleList([nn.Linear(1, 1)]))
    net.register_module("spare", None)
    assert unique_modules(net) == list(net.modules())


def test_a_layer_has_a_name_and_every_step_of_it_is_there():
    net = nn.Sequential(nn.Sequential(nn.ReLU()))
    for name in ("nope.0", "0.nope", "0.", ".", ""):
        with pytest.raises(LookupError, match="no layer"):
            layer(net, name)
    for name in (3, None, nn.ReLU()):
        with pytest.raises(TypeError, match="named by its string"):
            layer(net, name)


def test_a_scripted_model_is_refused_by_name(recwarn):
    from cnnlab.probing import Recorder

    scripted = torch.jit.script(nn.Sequential(nn.ReLU(), nn.Flatten()))
    assert layer(scripted, "0") is not None
    with pytest.raises(LookupError, match="no layer 'nope'"):
        layer(scripted, "nope")
    with pytest.raises(ValueError, match="compiled or scripted"), Recorder(scripted, "0"):
        scripted(torch.ones(1, 2))
