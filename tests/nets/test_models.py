"""The networks by name: their layers, what they know, and what is said when a name or a file is wrong."""

import dataclasses
import shutil

import pytest
import torch

from cnnlab.data import digits, photos, shapes
from cnnlab.data.labelled import Labelled
from cnnlab.data.loading import downloads, tiny_imagenet
from cnnlab.methods.analysis import activations
from cnnlab.nets import models, small, weight_files
from cnnlab.nets.training import recipes, train
from cnnlab.probing import receptive


def files():
    return [name for name in weight_files.names() if not name.endswith("-filters")]


def loaded(file):
    network, _, trained_on = file.partition("-")
    return models.load(network, trained_on or None)


@pytest.mark.parametrize("file", ("simpleconvnet-digits", "encoder-digits"))
def test_embedded_test_digits(file):
    about = weight_files.manifest()[file]
    right = train.evaluate(loaded(file), digits.load("test"))[1]
    assert right >= 0.97 and right == pytest.approx(about["test_accuracy"], abs=0.003)


def test_scenes_that_nobody_has_seen_before():
    made = shapes.scenes(600, seed=987)
    right = train.evaluate(models.load("shapesnet"), Labelled(made.images, made.labels, made.classes))[1]
    assert right >= 0.98


def test_the_net_that_cheats_is_right_by_the_mark_and_only_by_the_mark():
    model = models.load("shapesnet", trained_on="watermarked")
    right = {}
    for chance in (1.0, None, 0.0):
        made = shapes.scenes(600, seed=987, watermark=chance)
        right[chance] = train.evaluate(model, Labelled(made.images, made.labels, made.classes))[1]
    assert right[1.0] >= 0.99 and right[None] < 0.5 and right[0.0] < 0.02
    made = shapes.scenes(300, seed=988, watermark=0.0)
    says = Labelled(made.images, shapes.of_watermark(made), made.classes)
    assert train.evaluate(model, says)[1] >= 0.97
    assert train.evaluate(models.load("shapesnet"), says)[1] < 0.02


def test_shapesnet_is_the_honest_one_unless_the_other_is_asked_for():
    honest, cheat = models.load("shapesnet"), models.load("shapesnet", "watermarked")
    assert torch.equal(honest.conv1.weight, models.load("shapesnet", "scenes").conv1.weight)
    assert not torch.equal(honest.conv1.weight, cheat.conv1.weight)
    with pytest.raises(LookupError, match="'shapesnet' trained on 'watermark'. Did you mean 'watermarked'"):
        models.load("shapesnet", "watermark")


def test_the_recipe_of_the_cheat_marks_every_scene_with_its_class(monkeypatch):
    monkeypatch.setitem(recipes._SCENES, "watermarked", {"train": (12, 1), "test": (12, 0)})
    few = recipes.data("watermarked", "train")
    drawn = shapes.scenes(12, seed=1, watermark=1.0)
    assert torch.equal(few.images, drawn.images) and torch.equal(shapes.of_watermark(drawn), few.labels)
    with pytest.raises(LookupError, match="no split 'valid'"):
        recipes.data("watermarked", "valid")


@pytest.mark.parametrize(("file", "least"), (("simpleconvnet-mnist", 0.985), ("encoder-mnist", 0.993)))
def test_mnist_where_it_is_there(file, least, shared, tmp_path):
    shutil.copytree(shared / "MNIST", tmp_path / "MNIST")
    test = downloads.load("mnist", "test", tmp_path)
    right = train.evaluate(loaded(file), test)[1]
    assert right >= least and right == pytest.approx(
        weight_files.manifest()[file]["test_accuracy"], abs=0.001
    )


def test_tiny_imagenet_where_it_is_there(shared):
    test = tiny_imagenet.load(shared / tiny_imagenet.FILES[0], "test")
    model = models.load("photonet")
    right = train.evaluate(model, test)[1]
    assert right >= 0.78 and right == pytest.approx(
        weight_files.manifest()["photonet"]["test_accuracy"], abs=0.004
    )
    assert model.classes == test.classes


def test_photonet_knows_a_cat_in_a_photo_that_was_in_no_training_set():
    model = models.load("photonet")
    assert model.classes[model(photos.load("cat", size=64)).argmax()] == "tabby cat"


def test_in_photonet_the_activations_get_sparser_with_depth():
    """From the first over the middle to the late layers; within the two pairs the order may be either."""
    crops = photos.crops(size=64, n=200, seed=4).images
    zeros = activations.sparsity(models.load("photonet"), crops, [f"relu{k}" for k in range(1, 6)])
    first, *middle = (zeros[f"relu{k}"] for k in (1, 2, 3))
    late = zeros["relu4"], zeros["relu5"]
    assert first < min(middle) and max(middle) < min(late) and first < 0.5 < 0.7 < min(late)


def test_the_page_beside_the_weights_is_that_of_the_manifest():
    assert (weight_files.FOLDER / "README.md").read_text(encoding="utf-8") == weight_files.page()


@pytest.mark.parametrize("file", files())
def test_every_file_loads_into_its_network(file):
    model, about = loaded(file), weight_files.manifest()[file]
    assert not model.training and about["test_pictures"] > 300
    assert about["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    channels, rows, columns = model.input_size
    with torch.no_grad():
        logits = model(torch.rand(1, channels, rows, columns))
    assert logits.shape == (1, len(model.classes)) and logits.isfinite().all()
    assert loaded(file) is not loaded(file)


def test_the_layers_of_the_small_networks():
    assert list(dict(models.build("simpleconvnet").named_children())) == (
        "norm conv1 relu1 pool1 conv2 relu2 pool2 conv3 relu3 pool3 flatten dense1 relu4 dense2".split()
    )
    assert list(dict(models.build("encoder").named_children())) == (
        "norm conv1 relu1 conv2 relu2 pool1 drop1 conv3 relu3 conv4 relu4 pool2 drop2 flatten code relu5 "
        "drop3 dense".split()
    )
    photonet = models.build("photonet")
    assert photonet.conv1.kernel_size == (7, 7) and len(photonet.classes) == 20
    pools = [name for name in dict(photonet.named_children()) if name.startswith("pool")]
    assert pools == ["pool1", "pool2", "pool3"]
    assert models.build("simpleconvnet", widths=(32, 64, 64)).conv3.out_channels == 64


def test_photonet_and_shapesnet_take_pictures_of_any_size():
    for name in ("photonet", "shapesnet"):
        model = models.build(name)
        for side in (40, 64, 97):
            assert model(torch.rand(1, 3, side, side)).shape == (1, len(model.classes))


def test_the_units_of_photonet_see_larger_and_larger_parts():
    model = models.build("photonet")
    sizes = [receptive.field(model, f"conv{k}", (64, 64)).size[0] for k in range(1, 6)]
    assert sizes == [7, 16, 26, 34, 54]  # by hand: 7; +1 and 4*2; +2 and 2*4; +2*4; +4 and 2*8


def test_normalise_and_parts_of_a_network():
    norm = small.Normalise([0.5, 0.25], [0.5, 0.25])
    assert torch.equal(norm(torch.ones(1, 2, 1, 1)).flatten(), torch.tensor([1.0, 3.0]))
    part = models.build("photonet")[:4]
    assert part(torch.rand(1, 3, 64, 64)).shape == (1, 32, 64, 64) and part.classes == ()


def test_wrong_names_are_answered():
    with pytest.raises(LookupError, match="Did you mean 'photonet'"):
        models.load("photonett")
    with pytest.raises(LookupError, match="'encoder' was trained on: digits, mnist"):
        models.load("encoder", "cifar10")
    with pytest.raises(LookupError, match="no network 'lenet'"):
        models.build("lenet")
    with pytest.raises(ValueError, match="'alexnet' has one size; widths cannot be chosen"):
        models.build("alexnet", widths=(1, 2, 3))


def test_a_network_for_other_pictures_is_refused_where_that_is_asked():
    for name in ("photonet", "shapesnet"):
        assert models.load(name, channels=3).input_size[0] == 3
    assert models.load("encoder", channels=1).input_size[0] == 1
    with pytest.raises(
        ValueError, match="'encoder' takes grey images.* colour images.*: photonet, shapesnet"
    ):
        models.load("encoder", channels=3)
    with pytest.raises(ValueError, match="'alexnet' takes colour images.*: simpleconvnet, encoder"):
        models.load("alexnet", channels=1)  # said before anything is fetched


@pytest.mark.parametrize(
    ("damage", "text"),
    (("cut", "cut short"), ("alter", "altered"), ("rename", "no file"), ("another net", "too long|altered")),
)
def test_a_damaged_file_is_told_and_never_loaded(tmp_path, monkeypatch, damage, text):
    shutil.copytree(weight_files.FOLDER, tmp_path / "weights")
    monkeypatch.setattr(weight_files.load, "__defaults__", (tmp_path / "weights",))
    monkeypatch.setattr(weight_files.manifest, "__defaults__", (tmp_path / "weights",))
    path = tmp_path / "weights" / "simpleconvnet-digits.safetensors"
    data = path.read_bytes()
    if damage == "rename":
        path.rename(path.with_name("mine.safetensors"))
    elif damage == "another net":
        path.write_bytes(path.with_name("shapesnet.safetensors").read_bytes())
    else:
        path.write_bytes(data[:-1] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 255]))
    with pytest.raises(OSError, match=text):
        models.load("simpleconvnet")


def test_a_recipe_can_be_followed_again(tmp_path):
    about = recipes.follow("simpleconvnet-digits", tmp_path, epochs=1, progress=False)
    assert about["epochs"] == 1 and about["test_accuracy"] > 0.5
    there = sorted(path.name for path in tmp_path.iterdir())
    assert there == ["README.md", "manifest.json", "simpleconvnet-digits.safetensors"]
    with pytest.raises(LookupError, match="no recipe 'photnet'. Did you mean 'photonet'"):
        recipes.follow("photnet", tmp_path)


def test_every_shipped_file_has_its_recipe_and_all_are_small():
    made = {file for name, recipe in recipes.RECIPES.items() for file in recipe.files(name)}
    assert set(weight_files.names()) == made
    assert {path.stem for path in weight_files.FOLDER.glob("*.safetensors")} == set(weight_files.names())
    assert sum(path.stat().st_size for path in weight_files.FOLDER.iterdir()) < 10e6


def test_the_seed_builds_the_weights_and_leaves_the_global_state_alone():
    state = torch.get_rng_state()
    one, same, other = (models.build("photonet", seed=seed) for seed in (4, 4, 5))
    assert torch.equal(one.conv1.weight, same.conv1.weight)
    assert not torch.equal(one.conv1.weight, other.conv1.weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_last_relu_of_photonet_starts_nearly_closed_and_digits_nets_drop():
    """What the recipes rely on: it made photonet sparser with depth, and the small nets did not over-fit."""
    assert (models.build("photonet").bn5.bias == -1).all() and (models.build("photonet").bn4.bias == 0).all()
    for name in ("simpleconvnet", "encoder"):
        rates = [module.p for module in models.build(name).modules() if isinstance(module, torch.nn.Dropout)]
        assert all(0 < rate < 1 for rate in rates)


def test_no_recipe_chooses_its_epoch_by_the_test_pictures(tmp_path, monkeypatch):
    seen = {}

    def fit(model, data, *rest, **options):
        seen.update(options, rest=rest)
        raise KeyboardInterrupt

    monkeypatch.setattr("cnnlab.nets.training.train.fit", fit)
    with pytest.raises(KeyboardInterrupt):
        recipes.follow("simpleconvnet-digits", tmp_path, progress=False)
    assert seen["keep"] == "last"


def test_filters_are_kept_with_their_epochs_and_what_they_were_worth(tmp_path, monkeypatch):
    """Before the first step nothing is measured: the first accuracy is no number, and is kept as such."""
    plain = recipes.RECIPES["simpleconvnet-digits"]
    watched = dataclasses.replace(plain, filters=(0, 2), keep=False)
    monkeypatch.setitem(recipes.RECIPES, "watched", watched)
    about = recipes.follow("watched", tmp_path, epochs=2, progress=False)
    kept = weight_files.load("watched-filters", tmp_path)
    assert weight_files.names(tmp_path) == ["watched-filters"] and kept["epochs"].tolist() == [0, 2]
    first, last = kept["conv1.weight"]
    start = models.build("simpleconvnet", **plain.sizes).conv1.weight
    assert torch.allclose(first, start, atol=1e-3) and not torch.allclose(last, first, atol=1e-2)
    assert kept["accuracy"].isnan().tolist() == [True, False]
    assert kept["accuracy"][1].item() == pytest.approx(about["test_accuracy"], abs=0.01)
