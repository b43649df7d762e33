"""Sheets of icons: what was put comes back, the shipped ones are whole, damage is named."""

import pytest
import torch

from cnnlab.data import photos
from cnnlab.nets import icons, models
from cnnlab.probing import representative_layers, shapes

NETS = ("photonet", "shapesnet", "simpleconvnet")


def test_what_was_put_comes_back_nearly(tmp_path):
    smooth = torch.linspace(0, 1, 48).expand(20, 3, 48, 48) * torch.rand(20, 3, 1, 1)
    icons.save("net", "a", smooth, {"seed": 0}, tmp_path)
    icons.save("net", "b", smooth[:2, :1], {"seed": 0}, tmp_path)
    found = icons.load("net", "a", tmp_path)
    assert found.shape == smooth.shape and (found - smooth).abs().mean() < 0.02
    assert icons.load("net", "b", tmp_path).shape == (2, 1, 48, 48)
    assert icons.layers("net", tmp_path) == ["a", "b"] and icons.layers("other", tmp_path) == []


@pytest.mark.parametrize("net", NETS)
def test_every_channel_of_every_stage_has_an_icon_that_is_not_grey(net):
    model = models.load(net)
    blank = torch.zeros(1, *model.input_size)
    there = shapes(model, blank)
    assert icons.layers(net) == representative_layers(model, blank)
    for layer in icons.layers(net):
        sheet = icons.load(net, layer)
        assert sheet.shape == (there[layer][1], model.input_size[0], icons.SIDE, icons.SIDE)
        assert (sheet.flatten(1).std(dim=1) > 0.02).float().mean() > 0.9


@pytest.mark.parametrize("layer", ("relu2", "relu5"))
def test_an_icon_excites_its_own_channel_more_than_all_others_of_the_sheet_do(layer):
    model = models.load("photonet")
    upto = [name for name, _ in model.named_children()].index(layer) + 1
    with torch.no_grad():
        images = photos.resize(icons.load("photonet", layer), 64)
        means = torch.cat([model[:upto](part).mean(dim=(2, 3)) for part in images.split(32)])
    own = (means.argmax(dim=0) == torch.arange(len(means))).float().mean()
    assert own > 0.95


def test_all_sheets_together_are_small():
    assert sum(path.stat().st_size for path in icons.FOLDER.iterdir()) < 2_000_000


def test_damage_and_wrong_names_are_said(tmp_path):
    icons.save("net", "a", torch.rand(3, 3, 48, 48), {}, tmp_path)
    with pytest.raises(LookupError, match="no sheet of icons 'net-b'. Did you mean 'net-a'"):
        icons.load("net", "b", tmp_path)
    path = tmp_path / "net-a.jpg"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(OSError, match="cut short or altered.*python -m cnnlab icons net"):
        icons.load("net", "a", tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no file net-a\.jpg"):
        icons.load("net", "a", tmp_path)
    with pytest.raises(ValueError, match="icons are"):
        icons.save("net", "a", torch.rand(3, 3, 64, 64), {}, tmp_path)
