# %% [markdown] slideshow={"slide_type": "slide"}
# # 04 · Top-9 patches
#
# **Which pictures make one unit fire most?**
#
# You will be able to
#
# - compute which pixels a unit sees, in any layer, and check it;
# - find the strongest answers of every unit in one pass, without much memory;
# - cut out what a unit saw, also at the border of a picture;
# - say what a unit likes, and test whether you are right.
#
# **Minutes:** 40 for the lecture, 35 for the exercises.
# **Needs:** lectures 01 and 03. No internet.

# %%
import matplotlib.pyplot as plt
import torch

from cnnlab.course import TODO, check, hint, predict, progress, quiz
from cnnlab.data import datasets, shapes
from cnnlab.drawing import charts, images, sheets, show
from cnnlab.methods import analysis, top
from cnnlab.nets import models
from cnnlab.probing import Recorder, receptive, representative_layers
from cnnlab.widgets.lessons import top as widgets

# %% tags=["parameters"]
FAST = False  # True: fewer pictures and steps
SEED = 0
NET = "photonet"  # or "shapesnet" with "scenes", "simpleconvnet" with "digits"
DATA = "photos"  # or "scenes", "digits": what the network was made for

# %% slideshow={"slide_type": "slide"}
model = models.load(NET)
data = datasets.load(DATA, model.input_size, n=120 if FAST else 600, seed=SEED)
layers = representative_layers(model, data.images[:1])  # from the first to the last, five at most
middle = layers[len(layers) // 2]
field = receptive.field(model, middle, data.images.shape[-1])
found = top.scan(model, data.images, middle, k=9)
chosen = found.values[:, 0].argsort(descending=True)[:6].tolist()
patches = top.patches(data.images, found, field, channels=chosen, outside=0.5)
show(sheets.units(patches, titles=[f"channel {c}" for c in chosen]),
     alt=f"Six groups of nine pieces of pictures: for each of six channels of {middle}, those to which it answers most.")

# %% [markdown]
# Six units of a layer in the middle. For each, the nine pieces of pictures to which it answers most, at most one from each
# picture. Grey is beyond the border of a picture. What would you call each of them?
#
# Mind the data: these are 600 pieces of only 14 photos, large and small. If the cup comes nine times, that is why.

# %% [markdown] tags=["teacher"]
# 3 minutes. Collect names before you say anything, and write them down. At the end of the lecture they come back: a name
# is a guess.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Turn the question round
#
# In lecture 03 we took one picture and asked all units. From the third layer on, the maps had no names any more.
#
# Now take **one unit** and ask all pictures. Where, in all of them, does it fire most? And what is there?
# We need not know a single weight. This works for any network, even for a brain.
#
# For that we must know what a unit *sees*.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does a unit see?
#
# A unit of the first layer sees the pixels under its kernel. A unit of the second sees several units of the first.
# All the pixels that can change a unit are its **receptive field**.

# %% tags=["predict"]
predict(
    "04.p1",
    "Two convolutions of 3x3, one after the other, both with stride 1. How many pixels along a side does a unit of "
    "the second one see?",
    options=[3, 5, 6, 9],
    truth=lambda: receptive.field(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3), torch.nn.Conv2d(1, 1, 3)), "1", 9).size[0],
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ### Two numbers are enough
#
# Go through the layers. Keep the **size** of the field, and the **jump**: how far apart are two neighbours, in pixels?
# Start with 1 and 1. A layer with kernel $k$ and stride $s$ makes
#
# $$\text{size} \leftarrow \text{size} + (k - 1) \cdot \text{jump}, \qquad \text{jump} \leftarrow s \cdot \text{jump}$$
#
# First the size, then the jump: the kernel still counts in steps of the layer before.

# %%
for name in layers:
    seen = receptive.field(model, name, data.images.shape[-1])
    print(f"{name:>8}: size {seen.size[0]:3}, jump {seen.stride[0]:2}, on a map of {seen.grid[0]} x {seen.grid[1]} places")

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 04.1: the receptive field
#
# The layers come as pairs (kernel, stride), the first one first. A pool is such a pair, too.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def receptive_field(layers):
    """What a unit of the last layer sees: [(kernel, stride), ...] -> (size, jump)."""
    # BEGIN SOLUTION: start with size 1 and jump 1; go through the layers, first the size, then the jump
    # hint: Two numbers are enough, and each layer changes both. Which layer has to come first?
    # hint: size, jump = 1, 1 before the loop; `for kernel, stride in layers:` is the loop.
    # hint: size += (kernel - 1) * jump; jump *= stride; after the loop return size, jump
    size, jump = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump *= stride
    return size, jump
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
receptive_field = check("04.1", receptive_field)

# %% slideshow={"slide_type": "skip"}
hint("04.1")

# %% slideshow={"slide_type": "skip"}
photonet_to_relu3 = [(7, 1), (2, 2), (5, 1), (2, 2), (3, 1)]  # convolutions and pools
print("by hand:", receptive_field(photonet_to_relu3), " read off the network:",
      [pair[0] for pair in receptive.field(models.load("photonet"), "relu3", 64)[:2]])

# %% [markdown] slideshow={"slide_type": "slide"}
# ### Is it true?
#
# The frame is computed. The other picture is measured: how much does each pixel count for the units at this place?
# Move the place to the border, and go through the layers.

# %% tags=["widget"]
widgets.fields()

# %% [markdown] tags=["teacher"]
# 5 minutes. Two things to find: nothing counts outside of the frame, ever. And inside, the middle counts far more than the
# rim. The second leads to the next slide. At the border a part of the field is padding: the unit sees less picture there.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### Not all pixels count alike
#
# In a deep layer, many paths lead from the middle of the field to the unit, and only one from its corner. So the
# **effective** field is smaller than the theoretical one (Luo and others, 2016). In the first layer there is one path
# from each pixel, and the weights alone decide.

# %% tags=["predict"]
predict(
    "04.p2",
    "The square in the middle, half as wide and half as high as the field, holds a quarter of its pixels. What share of "
    "the influence comes from there, in the third layer of photonet?",
    options=["about a quarter", "more than half", "nearly all"],
    truth=lambda: "more than half" if 0.5 < analysis.central_mass(analysis.effective_receptive_field(
        models.load("photonet"), datasets.load("photos", (3, 64, 64), n=40).images, "relu3")) < 0.75 else "something else",
)

# %%
fits = [name for name in layers if receptive.field(model, name, data.images.shape[-1]).size[0] <= 0.6 * data.images.shape[-1]]
fig, axes = plt.subplots(1, len(fits), figsize=(3.2 * len(fits), 3.6), layout="constrained", squeeze=False)
for ax, name in zip(axes[0], fits, strict=True):
    weights = analysis.effective_receptive_field(model, data.images[:40], name)
    share = analysis.central_mass(weights)
    images.magnitude(weights, ax=ax, title=f"{name}: {share:.0%}", bar=False)
    high, wide = weights.shape
    images.frame(ax, row=high / 4, column=wide / 4, height=high / 2, width=wide / 2)
show(fig, alt="How much each pixel of the receptive field counts, layer by layer, with a frame around the middle. "
              "From the second layer on the middle is bright and the rim dark. The titles say how much of the influence "
              "comes from inside the frame.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## All units in one pass
#
# The obvious way: keep every map of every picture, then sort. How much memory would that take?

# %%
with torch.no_grad(), Recorder(model, middle, stop=True) as acts:
    model(data.images[:1])
numbers = acts[middle].numel()
print(f"{middle}: {numbers:,} numbers for one picture, {numbers * 4 * len(data.images) / 1e6:,.0f} MB for {len(data.images)}, "
      f"{numbers * 4 * 1.28e6 / 1e12:.1f} TB for the 1.28 million of ImageNet")
print(f"the nine strongest of each channel: {found.values.numel():,} numbers, for any number of pictures")

# %% [markdown] slideshow={"slide_type": "fragment"}
# We never need them all. Keep the nine best so far. A new batch comes: put its best beside them, and keep the nine
# best of both. That is **streaming**: one pass, all channels, hardly any memory.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 04.2: merge two rankings
#
# Each ranking holds values, the largest first, and for each value the number of its picture. Return the k best of both
# together, in the same form. (Take care that every picture stays with its own value.)

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def merge(values, indices, more_values, more_indices, k):
    """The k best of two rankings: (m,), (m,), (n,), (n,), k -> values (k,), pictures (k,)."""
    # BEGIN SOLUTION: put both together, sort by value, keep the first k, and their pictures
    # hint: One long list of all values, one of all pictures, in the same order. Which k come first?
    # hint: torch.cat([values, more_values]) has the shape (m + n,). .topk(k) gives the largest and where they stood.
    # hint: best = torch.cat([values, more_values]).topk(k); return best.values, torch.cat([indices, more_indices])[best.indices]
    best = torch.cat([values, more_values]).topk(k)
    return best.values, torch.cat([indices, more_indices])[best.indices]
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
merge = check("04.2", merge)

# %% slideshow={"slide_type": "skip"}
hint("04.2")

# %% slideshow={"slide_type": "skip"}
channel, so_far = chosen[0], (torch.empty(0), torch.empty(0, dtype=torch.int64))
for start in range(0, len(data.images), 40):
    with torch.no_grad(), Recorder(model, middle, stop=True) as acts:
        model(data.images[start : start + 40])
    best = acts[middle][:, channel].flatten(1).amax(dim=1)  # the strongest place of each picture
    so_far = merge(*so_far, best, torch.arange(start, start + len(best)), min(9, start + len(best)))
torch.testing.assert_close(so_far[0], found.values[channel])
print("your ranking, in batches of 40, agrees with the course's scan:", so_far[1].tolist())

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 04.3: cut out what it saw
#
# The corner of the window may lie outside of the picture: then `top` or `left` is negative, or the window ends beyond
# the edge. What is not there becomes zero. The result always has `size` rows and columns.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def crop(image, top, left, size):
    """A square window of a picture, zero where there is none: (C, H, W) -> (C, size, size)."""
    # BEGIN SOLUTION: a window of zeros; copy the part that lies inside the picture to its place
    # hint: Start with zeros of the final size. Which rows of the picture are really there, and where in the window do they go?
    # hint: rows from max(0, top) to min(H, top + size) of the picture; in the window they start at max(0, top) - top.
    # hint: window[:, y0 - top : y1 - top, x0 - left : x1 - left] = picture[:, y0:y1, x0:x1], with y0 = max(0, top), y1 = min(H, top + size)
    channels, height, width = image.shape
    window = torch.zeros(channels, size, size)
    y0, y1 = max(0, top), min(height, top + size)
    x0, x1 = max(0, left), min(width, left + size)
    window[:, y0 - top : y1 - top, x0 - left : x1 - left] = image[:, y0:y1, x0:x1]
    return window
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
crop = check("04.3", crop)

# %% slideshow={"slide_type": "skip"}
hint("04.3")

# %% slideshow={"slide_type": "skip"}
quiz("04.q1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Choose a unit
#
# Nine pieces, where they were, and how strongly the unit answers to all pictures. Then move **rank**: what comes after
# the first nine? Does your name for the unit still fit?

# %% tags=["widget"]
widgets.browser(n=120 if FAST else 600, seed=SEED)

# %% [markdown] tags=["teacher"]
# 8 minutes. Try photonet relu1 (edges and colours: easy), relu3 (textures), relu5 (half of a photo: hard), then shapesnet relu4.
# Always move the rank before the room agrees on a name. A unit whose first nine all come from one photo tells of the photo.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## From layer to layer
#
# Six units of every layer, not chosen by us: evenly spread over the channels. All pieces are drawn equally large, from
# 7x7 pixels in the first layer of photonet to 54x54 in the last. What do the nine share?

# %%
def sheet(k):
    """Six units of the k-th of our layers, if there are so many."""
    for name in layers[k : k + 1]:
        ranking = top.scan(model, data.images, name, k=9)
        spread = [int((c + 0.5) * len(ranking.values) / 6) for c in range(6)]
        seen = receptive.field(model, name, data.images.shape[-1])
        pieces = top.patches(data.images, ranking, seen, channels=spread, outside=0.5)
        show(sheets.units(pieces, titles=[f"{name}, {c}" for c in spread], columns=3),
             alt=f"Six channels of {name}, nine pieces of {seen.size[0]} by {seen.size[1]} pixels each.")


sheet(0)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The second layer: six units

# %%
sheet(1)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The third layer: six units

# %%
sheet(2)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The fourth layer: six units

# %%
sheet(3)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The fifth layer: six units

# %%
sheet(4)

# %% [markdown] tags=["teacher"]
# 6 minutes. Layer 1: edges and plain colours. Layers 2 and 3: corners, stripes, a colour beside another. Layer 5: whole things,
# and mixtures. Ask for one unit in each layer that resists a name.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Baseballs, or stripes?
#
# Nine pieces show a baseball. Does the unit like baseballs? Or their red stripes? Or round things? The pieces
# cannot tell: in them, all of this comes together (Olah and others, 2017).
#
# With the synthetic scenes of lecture 03 we can *count*. We know shape, colour and texture of the largest object. How many of a
# unit's nine scenes agree in each?

# %% tags=["predict"]
def _most_alike(layer):
    scenes = shapes.scenes(200, seed=SEED)
    ranking = top.scan(models.load("shapesnet"), scenes.images, layer, k=9)
    alike = {kind: top.purity.label_purity(ranking, shapes.of_largest(scenes, kind)[0]).mean() for kind in ("shape", "colour", "texture")}
    return max(alike, key=alike.get)


predict(
    "04.p3",
    "The units of the FIRST layer of shapesnet, which was trained to tell shapes apart: in what do their nine scenes "
    "agree most?",
    options=["shape", "colour", "texture"],
    truth=lambda: _most_alike("relu1"),
)

# %%
shapesnet, scenes = models.load("shapesnet"), shapes.scenes(200 if FAST else 300, seed=SEED)
depth = representative_layers(shapesnet, scenes.images[:1])
rankings = [top.scan(shapesnet, scenes.images, name, k=9) for name in depth]
alike = {}
for kind in ("shape", "colour", "texture"):
    labels, _ = shapes.of_largest(scenes, kind)
    alike[kind] = [top.purity.label_purity(ranking, labels).mean().item() for ranking in rankings]
alike["by chance"] = [max(top.purity.chance_purity(shapes.of_largest(scenes, kind)[0]) for kind in alike)] * len(depth)
fig, ax = plt.subplots(figsize=(9, 4.2), layout="constrained")
charts.lines(alike, ax=ax, ylabel="share of the nine that agree", title="what do a unit's nine scenes have in common?")
ax.set_xticks(range(len(depth)), depth)
show(fig, alt="Three curves over the layers of shapesnet. Agreement in shape rises from chance to nine tenths, agreement in colour "
              "falls from seven tenths to chance, texture is lowest at the end. A level line marks chance.")
assert alike["shape"][-1] > 0.8 > 0.5 > alike["shape"][0] and alike["colour"][0] > 0.6 > 0.45 > alike["colour"][-1]

# %% [markdown] slideshow={"slide_type": "fragment"}
# The first layers sort by colour, the last by shape. The training asked for shapes at the end; nobody asked for colours at
# the start. This is the information distillation of lecture 03, seen unit by unit.
#
# And a warning: at the last layer eight of nine scenes agree in shape, *on average*. Look unit by unit:

# %%
share = top.purity.label_purity(rankings[-1], scenes.labels)
print(f"{depth[-1]}: all nine agree in {(share == 1).float().mean():.0%} of the units; in the worst, {share.min() * 9:.0f} of 9 do")

# %% slideshow={"slide_type": "skip"}
quiz("04.q2")

# %% slideshow={"slide_type": "skip"}
quiz("04.q3")

# %% [markdown] tags=["bug-hunt"] slideshow={"slide_type": "skip"}
# ### Bug hunt
#
# Somebody wrote the streaming search for one unit. The values are right. But the pictures are not those that have
# these values. With a single batch everything is fine. Find the fault, mend it, and run the check.

# %% tags=["bug-hunt"] slideshow={"slide_type": "skip"}
def strongest(batches, k):
    """The k strongest pictures: a list of tensors (n,), one activation for each picture -> values, pictures."""
    values, indices = torch.empty(0), torch.empty(0, dtype=torch.int64)
    for batch in batches:
        values = torch.cat([values, batch])
        indices = torch.cat([indices, torch.arange(len(batch))])
        best = values.topk(min(k, len(values)))
        values, indices = best.values, indices[best.indices]
    return values, indices


answers = torch.tensor([0.1, 0.9, 0.3, 0.2, 0.7, 0.4])
values, indices = strongest(answers.split(3), k=2)
print("found:", values, "in the pictures", indices, "- these have", answers[indices])

# %% tags=["solution"] slideshow={"slide_type": "skip"}
def strongest(batches, k):
    """The k strongest pictures: a list of tensors (n,), one activation for each picture -> values, pictures."""
    values, indices, seen = torch.empty(0), torch.empty(0, dtype=torch.int64), 0
    for batch in batches:
        values = torch.cat([values, batch])
        indices = torch.cat([indices, seen + torch.arange(len(batch))])  # numbers of the data set, not of the batch
        seen += len(batch)
        best = values.topk(min(k, len(values)))
        values, indices = best.values, indices[best.indices]
    return values, indices

# %% tags=["check"] slideshow={"slide_type": "skip"}
strongest = check("04.bug", strongest)

# %% slideshow={"slide_type": "skip"}
progress()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three things to keep
#
# 1. A unit sees its receptive field, and of that mostly the middle.
# 2. One pass finds the strongest places of all units: keep the best so far, merge, go on.
# 3. Nine pieces suggest a name. They do not prove it: look further down, and count.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## New words
#
# | word | meaning |
# |---|---|
# | unit | one channel of a layer, at one place or anywhere on its map |
# | receptive field | the pixels that can change a unit |
# | jump | how far apart, in pixels, is what two neighbouring units see; the strides multiplied |
# | effective receptive field | how much each pixel of the receptive field really counts |
# | top-9 | the nine places in a data set where a unit fires most, here at most one in each picture |
# | streaming | going through the data once, keeping only what is needed |
# | polysemantic | said of a unit that answers to several unlike things |
#
# ## References
#
# - R. Girshick, J. Donahue, T. Darrell, J. Malik: *Rich feature hierarchies for accurate object detection*, CVPR 2014 (top regions).
# - M. Zeiler, R. Fergus: *Visualizing and understanding convolutional networks*, ECCV 2014, arXiv:1311.2901 (top-9).
# - W. Luo, Y. Li, R. Urtasun, R. Zemel: *Understanding the effective receptive field*, NIPS 2016.
# - A. Araujo, W. Norris, J. Sim: *Computing receptive fields of convolutional neural networks*, Distill 2019.
# - C. Olah, A. Mordvintsev, L. Schubert: *Feature visualization*, Distill 2017 (baseballs or stripes).
