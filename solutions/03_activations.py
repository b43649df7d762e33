# %% [markdown] slideshow={"slide_type": "slide"}
# # 03 · Activations
#
# **What does the picture become, layer by layer?**
#
# You will be able to
#
# - record what any layer puts out, and leave the network as it was;
# - read the activation vector of one place of a picture;
# - measure how many activations are zero, over a whole data set;
# - say what a network keeps of a picture, what it throws away, and prove it.
#
# **Minutes:** 40 for the lecture, 35 for the exercises.
# **Needs:** lectures 01 and 02. No internet.

# %%
import matplotlib.pyplot as plt
import torch

from cnnlab.course import TODO, check, hint, predict, progress, quiz
from cnnlab.data import photos, shapes
from cnnlab.drawing import charts, images, show
from cnnlab.methods.analysis import activations
from cnnlab.nets import models
from cnnlab.probing import Recorder
from cnnlab.widgets.lessons import activations as widgets

# %% tags=["parameters"]
FAST = False  # True: fewer pictures
SEED = 0
NET = "photonet"  # or "shapesnet"
PHOTO = "cat"  # or "astronaut", "coffee" ...: photos.names() has them all

# %% slideshow={"slide_type": "slide"}
model = models.load(NET, channels=3)  # one that was made for colour
photo = photos.load(PHOTO, size=64)  # (1, 3, 64, 64)
relus = [name for name, _ in model.named_children() if name.startswith("relu")]
with torch.no_grad(), Recorder(model, *relus) as acts:
    model(photo)
fig, axes = plt.subplots(1, len(relus) + 1, figsize=(2.3 * len(relus) + 2.3, 2.9), layout="constrained")
images.picture(photo[0], ax=axes[0], title="the picture")
for ax, name in zip(axes[1:], relus, strict=True):
    strongest = acts[name][0].flatten(1).sum(dim=1).argmax()
    images.magnitude(acts[name][0, strongest], ax=ax, bar=False, title=name)
show(fig, alt=f"The photo '{PHOTO}' and one map of each ReLU layer of {NET}. "
              "The first maps still look like the photo; the last one is a few coarse cells.")

# %% [markdown]
# Five layers, five maps of the same photo. In the first you still see the photo.
# In the last there are a few bright cells. What are they?
#
# A bright rim is no discovery: beyond the edge the convolution sees padding, and answers to that, too.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## A layer is a cube of numbers
#
# Rows, columns, channels. There are four ways to look at it:
#
# - the **whole layer**: everything it says about the picture;
# - one **channel**: one question, asked everywhere;
# - one **place**: all questions, asked at one spot;
# - one **neuron**: one question at one spot, a single number.

# %%
cube = acts["relu2"][0]  # (channels, rows, columns)
channel, row, column = int(cube.sum(dim=(1, 2)).argmax()), cube.shape[1] // 2, cube.shape[2] // 2
fig, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained", width_ratios=(1.1, 1, 1.2))
images.magnitude(cube.mean(dim=0), ax=axes[0], title=f"whole layer: mean of {len(cube)} maps")
images.magnitude(cube[channel], ax=axes[1], title=f"channel {channel}")
images.frame(axes[1], row=row, column=column, height=1, width=1)
charts.columns(cube[:, row, column], ax=axes[2], xlabel="channel", title=f"place ({row}, {column})")
show(fig, alt="Left: the mean of all maps of the second ReLU. Middle: one channel, with one neuron "
              "framed. Right: the activations of all channels at the place of that neuron.")
neuron = cube[channel, row, column]
print(f"the neuron in the frame: channel {channel}, row {row}, column {column}: {neuron:.3f}")

# %% tags=["predict"] slideshow={"slide_type": "subslide"}
predict(
    "03.p1",
    "The first ReLU of photonet makes 32 maps of 64x64 from a colour picture of 64x64. "
    "How many times as many numbers is that?",
    options=["as many", "about 3 times", "about 11 times", "32 times"],
    truth="about 11 times",
)

# %% [markdown]
# Three tables of pixels became 32 tables of activations. The layer did not compress anything.
# It wrote the picture down in another way.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Look into the layers
#
# Go down, layer by layer. Find a channel that answers to an edge, one that answers to a colour,
# one that is silent. Then take another picture, or one of your own: is the silent one still silent?

# %% tags=["widget"]
widgets.browser()

# %% [markdown] tags=["teacher"]
# Start at relu1 and name two or three channels with the room ("this one likes vertical edges"). Then go to relu4 and
# try again: it gets hard. That is not a failure of the room. Lectures 04 to 07 are about it.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How do we get at them?
#
# PyTorch lets you hang a **hook** on a layer: a function that is called with what the layer puts out.
# Three rules. Keep a **copy**: the next layer may overwrite the numbers in place.
# **Remove** the hook, or it will run for ever. Remove it even if the network **fails**.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 03.1: record a layer
#
# `model.get_submodule(name)` is the layer. `layer.register_forward_hook(f)` hangs `f(module, inputs, output)` on it
# and gives a handle; `handle.remove()` takes it off. What stands under `finally:` after `try:` is done in any case.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def record(model, name, image):
    """What the layer puts out for an image: (model, "conv1", (1, C, H, W)) -> a tensor."""
    # BEGIN SOLUTION: hang a hook on the layer that keeps a copy, run the model, remove the hook
    # hint: The hook is a function that appends a copy of the output to a list. Make the list first.
    # hint: def keep(module, inputs, output): kept.append(output.detach().clone())
    # hint: handle = layer.register_forward_hook(keep); then try: model(image), finally: handle.remove(); return kept[0]
    kept = []

    def keep(module, inputs, output):
        kept.append(output.detach().clone())

    handle = model.get_submodule(name).register_forward_hook(keep)
    try:
        model(image)
    finally:
        handle.remove()
    return kept[0]
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
record = check("03.1", record)

# %% slideshow={"slide_type": "skip"}
hint("03.1")

# %% slideshow={"slide_type": "skip"}
torch.testing.assert_close(record(model, "relu2", photo), acts["relu2"])
print("your record and the course's Recorder agree on", NET)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One place, all channels
#
# Move the place over the picture. The frame shows what the place sees.
# The bars are what the network knows about it: its **activation vector**.

# %% tags=["widget"]
widgets.positions()

# %% [markdown] tags=["teacher"]
# 5 minutes. Put the place on an eye, then on the other eye, then on the forehead. Which two bars are most alike?
# The strongest channel has no name yet: lecture 04 asks it.


# %% [markdown]
# Two places with similar vectors are similar *to the network*. Find two places whose bars look alike,
# and two that look alike to you but not to the network.

# %% slideshow={"slide_type": "skip"}
quiz("03.q1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Many numbers are zero
#
# A ReLU cuts everything below zero. How much is left? Not for one picture: over a data set.

# %% tags=["predict"]
few = photos.crops(size=64, n=60, seed=SEED).images
predict(
    "03.p2",
    "In which layer of photonet is the largest share of activations zero?",
    options=relus,
    truth=lambda: max(relus, key=activations.sparsity(model, few, relus).get),
)

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 03.2: sparsity
#
# The activations come in batches, and the last batch may be smaller. What share of all numbers is zero?

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def sparsity(batches):
    """The share of zeros: a list of tensors (n, C, H, W) -> a number from 0 to 1."""
    # BEGIN SOLUTION: count the zeros of all batches, count the numbers of all batches, divide once
    # hint: A mean of the batches' shares would count a small batch as much as a large one.
    # hint: (batch == 0).sum().item() counts the zeros of one batch, batch.numel() all of its numbers.
    # hint: return zeros / numbers, after a loop that adds to both
    zeros = sum((batch == 0).sum().item() for batch in batches)
    return zeros / sum(batch.numel() for batch in batches)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
sparsity = check("03.2", sparsity)

# %% slideshow={"slide_type": "skip"}
hint("03.2")

# %%
crops = photos.crops(size=64, n=60 if FAST else 200, seed=SEED)
zeros = {}
for name in relus:  # one layer at a time: all of them together would need much memory
    batches = []
    for part in crops.images.split(20):
        with torch.no_grad(), Recorder(model, name, stop=True) as seen:
            model(part)
        batches.append(seen[name].half())
    zeros[name] = sparsity(batches)
del batches
title = f"{NET}, {len(crops.labels)} pieces of photos"
ax = charts.bars(zeros, xlabel="share of activations that are zero", title=title)
show(ax.figure, alt="Bars: the share of zeros after each ReLU. "
                    + ", ".join(f"{name}: {share:.0%}" for name, share in zeros.items()) + ".")

# %% [markdown]
# The share of zeros grows with depth: not at every step, but from the first layers to the middle, and on to the last.
# What a deep neuron looks for is rare, so most of the time it is silent.

# %% [markdown] tags=["teacher"]
# 3 minutes. Expected wrong answer: "a network that is 85 % zeros is wasteful". Ask how many books of a library are
# open at one time.


# %% slideshow={"slide_type": "skip"}
quiz("03.q2")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Who is whose neighbour?
#
# Take a piece of a photo. Which other pieces are nearest to it? Ask the pixels. Then ask each layer.
# The last choice, `gap`, is the mean of the last maps over all places: *what* is there, no matter *where*.
#
# Are the neighbours there alike in colour, or in what they show?

# %% tags=["widget"]
widgets.nearest(bank=60 if FAST else 240)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Counted: sixty pieces, their five nearest among 240

# %%
asked = photos.crops(size=64, n=60, seed=SEED + 1)
bank = photos.crops(size=64, n=60 if FAST else 240, seed=SEED)
print(f"{'layer':>8}  from the same photo  difference in colour")
for name in (activations.IMAGE, relus[-1], "gap"):
    index = activations.neighbours(model, asked.images, bank.images, [name])[name].index  # (60, 5)
    same = (bank.labels[index] == asked.labels[:, None]).float().mean()
    colour = (bank.images[index] - asked.images[:, None]).mean(dim=(3, 4)).norm(dim=2).mean()
    print(f"{name:>8}  {same:19.0%}  {colour:20.3f}")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Photonet was never asked for neighbours. But it finds pieces of the same photo more often than the pixels do,
# though their mean colours are *less* alike. It goes by what is there.

# %% [markdown] tags=["teacher"]
# 3 minutes. Ask what the pixels confuse: a piece of wall and a piece of sky. Then why `gap` beats the last maps: where
# a thing stands does not count any more.


# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 03.3: the nearest pictures
#
# Each picture is one row of activations, its code. Return where the k nearest codes stand, the nearest first.
# Take the straight distance (Euclidean): subtract, square, add up, square root.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def nearest(code, codes, k):
    """Places of the k codes that are nearest: (D,), (N, D), k -> (k,)."""
    # BEGIN SOLUTION: the distance to every code, and the places of the k smallest
    # hint: The distance of two codes is the length of their difference: the root of the sum of its squares.
    # hint: codes - code has a row for every difference; .norm(dim=1) gives their lengths.
    # hint: return (codes - code).norm(dim=1).argsort()[:k]
    return (codes - code).norm(dim=1).argsort()[:k]
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
nearest = check("03.3", nearest)

# %% slideshow={"slide_type": "skip"}
hint("03.3")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What is kept, what is thrown away?
#
# Now a measurement. We need pictures of which we know everything: synthetic scenes. In each, a few objects
# lie on a background. The **class** of a scene is the shape of its largest object: there are six shapes.
# The **colours** say nothing about the class.

# %%
train, test = (shapes.scenes(90 if FAST else 300, seed=SEED + k) for k in (10, 11))
fig, axes = plt.subplots(1, 6, figsize=(12, 2.5), layout="constrained")
for ax, image, label in zip(axes, test.images, test.labels, strict=False):
    images.picture(image, ax=ax, title=train.classes[label])
show(fig, alt="Six scenes of coloured shapes on backgrounds, each titled with the shape of its "
              "largest object.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# `shapesnet` was trained to name the class. From each of its layers we try to *read* both things. Our reader is
# a **linear map**: a weighted sum of the activations, with weights fitted on other scenes.
#
# - The class: for what share of the test scenes is it right? By chance, for one in six.
# - The colour of each place: what share of its variation is explained (R squared)? Guessing the mean gives 0.

# %% tags=["predict"]
predict(
    "03.p3",
    "How much of the colours can still be read after the last layer of a network "
    "that was trained on shapes?",
    options=["nearly all", "about half", "hardly anything"],
    truth="hardly anything",
)

# %%
shapesnet = models.load("shapesnet")
inner = [name for name, _ in shapesnet.named_children() if name.startswith(("conv", "relu"))]
depth = [activations.IMAGE, *inner]
colour = activations.colour_probe(shapesnet, train.images, test.images, depth)
known, asked_for = (train.images, train.labels), (test.images, test.labels)
shape = activations.class_probe(shapesnet, known, asked_for, depth)
fig, ax = plt.subplots(figsize=(9, 4.2), layout="constrained")
chance = [1 / len(train.classes)] * len(depth)
curves = {"colour": list(colour.values()), "class": list(shape.values()), "class, by chance": chance}
charts.lines(curves, ax=ax, ylabel="share that can be read")
ax.set_xticks(range(len(depth)), depth)
show(fig, alt="Two curves over the layers of shapesnet. The share of the colours that can be read falls "
              "from 1 to nearly 0. The share of scenes whose class can be read rises from near chance, "
              "a level line at one sixth, to nearly 1.")

# %% [markdown] slideshow={"slide_type": "fragment"}
# The curves cross. What the class needs is made plain, what it does not need is thrown away.
# This is called **information distillation**.
#
# Mind what was measured: what a *linear* map can read. A cleverer reader might find more.

# %% [markdown] tags=["teacher"]
# 4 minutes. Ask for the objection: "maybe it is still there, only not linear". Right. That is what the last line says.


# %% slideshow={"slide_type": "skip"}
quiz("03.q3")

# %% [markdown] tags=["bug-hunt"] slideshow={"slide_type": "skip"}
# ### Bug hunt
#
# This function finds the activation vector that belongs to a pixel. At the corner and along the diagonal it is right.
# Find the fault, mend it, and run the check.

# %% tags=["bug-hunt"] slideshow={"slide_type": "skip"}
def vector_at(maps, row, column, side):
    """Maps (C, h, w) of a picture of side x side pixels, and a pixel -> the C activations there."""
    cell = side // maps.shape[1]  # pixels for each cell of the maps
    x, y = row // cell, column // cell
    return maps[:, y, x]


maps = torch.zeros(1, 4, 4)
maps[0, 0, 3] = 1.0  # row 0, column 3: the upper right corner
print("upper right:", vector_at(maps, 0, 63, 64).item(), "- it is 1.0")

# %% tags=["solution"] slideshow={"slide_type": "skip"}
def vector_at(maps, row, column, side):
    """Maps (C, h, w) of a picture of side x side pixels, and a pixel -> the C activations there."""
    cell = side // maps.shape[1]
    return maps[:, row // cell, column // cell]  # rows come first: a row is a y, not an x

# %% tags=["check"] slideshow={"slide_type": "skip"}
vector_at = check("03.bug", vector_at)

# %% slideshow={"slide_type": "skip"}
progress()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three things to keep
#
# 1. A layer is a cube: look at a channel, at a place, at a neuron, or at all of it.
# 2. Hook, copy, remove: leave the network as it was.
# 3. From layer to layer the class becomes plainer, and the rest of the picture is lost. You can measure both.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## New words
#
# | word | meaning |
# |---|---|
# | activation | the number that a neuron puts out for a picture |
# | place | one row and column of a layer, all channels together |
# | activation vector | the activations of all channels at one place |
# | hook | a function that is called each time a layer has run |
# | sparsity | the share of activations that are exactly zero |
# | global average pooling | the mean of each of the last maps over all places; in photonet the layer `gap` |
# | linear read-out | a linear map, fitted to tell something from the activations |
# | information distillation | from layer to layer: what the task needs is kept, the rest is dropped |
#
# ## References
#
# - J. Yosinski et al.: *Understanding neural networks through deep visualization*, 2015, arXiv:1506.06579.
# - C. Olah et al.: *The building blocks of interpretability*, Distill, 2018.
# - X. Glorot, A. Bordes, Y. Bengio: *Deep sparse rectifier neural networks*, AISTATS 2011.
# - G. Alain, Y. Bengio: *Understanding intermediate layers using linear classifier probes*, 2016, arXiv:1610.01644.
# - A. Mahendran, A. Vedaldi: *Understanding deep image representations by inverting them*, CVPR 2015.
