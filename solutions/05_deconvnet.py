# %% [markdown] slideshow={"slide_type": "slide"}
# # 05 · Deconvnet
#
# **Which pixels of that picture made it fire?**
#
# You will be able to
#
# - walk back from one unit to the pixels: unpool, rectify, transposed convolution;
# - write the three backward rules of a ReLU, and say how they differ;
# - get the same picture in two ways, and prove that they agree;
# - say when a deconvnet does not look at the picture at all.
#
# **Minutes:** 45 for the lecture, 45 for the exercises.
# **Needs:** lectures 01, 03 and 04. No internet.

# %%
import matplotlib.pyplot as plt
import torch

from cnnlab.course import TODO, check, hint, predict, progress, quiz
from cnnlab.data import datasets, photos
from cnnlab.drawing import images, sheets, show
from cnnlab.methods import deconvnet, top
from cnnlab.nets import layers, models
from cnnlab.probing import Unit, receptive, relu_rules, representative_layers
from cnnlab.widgets.lessons import deconvnet as widgets

F = torch.nn.functional

# %% tags=["parameters"]
FAST = False  # True: fewer pictures and steps
SEED = 0
NET = "photonet"  # or "shapesnet" with "scenes", "simpleconvnet" with "digits"
DATA = "photos"  # or "scenes", "digits": what the network was made for

# %% slideshow={"slide_type": "slide"}
model = models.load(NET)
data = datasets.load(DATA, model.input_size, n=120 if FAST else 600, seed=SEED)
names = representative_layers(model, data.images[:1])  # from the first layer to the last
name = names[len(names) // 2]
field = receptive.field(model, name, data.images.shape[-1])
found = top.scan(model, data.images, name, k=9)
chosen = found.values[:, 0].argsort(descending=True)[:3].tolist()
seen = top.patches(data.images, found, field, channels=chosen, outside=0.5)
used = deconvnet.project_top_patches(model, data.images, found, field, channels=chosen)
show(sheets.units(seen, used, titles=[f"channel {c}" for c in chosen]),
     alt=f"Three channels of {name}: nine pieces of pictures each, and beside them what of each piece made the unit fire, on grey.")

# %% [markdown]
# On the left, the nine pieces to which a unit answers most: lecture 04. On the right, **what of each piece the unit
# used**. Grey is nothing, lighter is positive, darker is negative, and a colour means: more of it than of the others.
#
# How can a network tell us that? It has to run backwards.

# %% [markdown] tags=["teacher"]
# 3 minutes. Let the room compare one piece with its projection: what is gone? Usually the ground, and all colours that do not
# count. This is figure 2 of Zeiler & Fergus 2014; we build it from nothing in this lecture.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Forwards, three steps. Backwards, three steps.
#
# | forwards | backwards |
# |---|---|
# | convolution: look for a pattern | transposed convolution: stamp the pattern |
# | ReLU: keep what is positive | rectify: keep what is positive |
# | max pool: keep the largest, forget where | unpool: put it back where it was |
# | batch norm (lecture 09): times a number, plus a number | times the same number |
#
# Start at one unit, with its activation. Set all others to zero. Go down.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Can max pooling be undone?
#
# It threw away three of every four numbers. Those are gone. But if we noted *where* the largest stood, it can go back
# to its place. The notes are called **switches** (lecture 01).

# %%
x = torch.tensor([[[[1.0, 3.0, 2.0, 0.0], [4.0, 2.0, 1.0, 1.0], [0.0, 1.0, 5.0, 6.0], [2.0, 1.0, 8.0, 7.0]]]])
pooled, switches = layers.max_pool2d(x, 2)
fig, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
for ax, table, title in zip(axes, [x, pooled, layers.max_unpool2d(pooled, switches, x.shape)],
                            ["before", "pooled", "unpooled"], strict=True):
    images.numbers(table[0, 0], ax=ax, title=title, decimals=0, limits=(0, 8))
show(fig, alt="Sixteen numbers, the four largest of their windows, and these four back at their places among zeros.")

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 05.1: unpool
#
# Each switch counts the pixels of the large map, row by row. Put each pooled number there. All others are zero.
# Where two windows overlap they may name the same pixel: then the numbers **add**.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def unpool(pooled, switches, height, width):
    """Every number back to its place: (h, w), (h, w), H, W -> (H, W)."""
    # BEGIN SOLUTION: an empty map as one long row; add every number at its switch; give it the shape (height, width)
    # hint: A switch is a place in the map written as one long row. So make the long row first.
    # hint: large = torch.zeros(height * width) is the row; pooled.flatten() and switches.flatten() have one entry for each window.
    # hint: large.scatter_add_(0, switches.flatten(), pooled.flatten()); return large.view(height, width)
    large = torch.zeros(height * width)
    large.scatter_add_(0, switches.flatten(), pooled.flatten())
    return large.view(height, width)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
unpool = check("05.1", unpool)

# %% slideshow={"slide_type": "skip"}
hint("05.1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Backwards through a ReLU: three rules
#
# $x$ went into the ReLU. $g$ is the signal that comes back from above. What goes on downwards?
#
# - **gradient**: only where $x$ was positive. That is calculus: slope 1 there, else 0.
# - **deconvnet**: only where $g$ is positive. What went in does not matter.
# - **guided**: both.

# %% tags=["predict"]
predict(
    "05.p1",
    "A unit was silent: x = -2. From above comes g = 3. What does the DECONVNET rule let through?",
    options=[-6, 0, 3],
    truth=lambda: int(relu_rules.deconvnet(torch.tensor(3.0), torch.tensor(-2.0).clamp(min=0))),
)

# %%
x = torch.tensor([[1.0, -1.0, 5.0, 2.0], [2.0, -5.0, -7.0, 1.0], [-3.0, 2.0, 4.0, -1.0], [3.0, -2.0, 1.0, 6.0]])
g = torch.tensor([[-2.0, 3.0, -1.0, 2.0], [6.0, -3.0, 1.0, -4.0], [2.0, -1.0, 3.0, 5.0], [-1.0, 4.0, -2.0, 1.0]])
fig, axes = plt.subplots(1, 5, figsize=(14, 3.2), layout="constrained")
tables = {"x: went in": x, "g: comes back": g, **{rule: apply(g, x.clamp(min=0)) for rule, apply in relu_rules.NAMED.items()}}
for ax, (title, table) in zip(axes, tables.items(), strict=True):
    images.numbers(table, ax=ax, title=title, is_signed=True, limits=(-7, 7))
show(fig, alt="Five tables of 4 by 4 numbers: what went into the ReLU, what comes back, and what each of three rules lets through. "
              "Gradient keeps numbers where x is positive, deconvnet those that are positive, guided those where both hold.")

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 05.2: the three rules
#
# `rule` is "gradient", "deconvnet" or "guided".

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def back_through_relu(x, g, rule):
    """What goes on downwards: (H, W), (H, W), a word -> (H, W)."""
    # BEGIN SOLUTION: g, times 1 where the rule lets it pass and 0 elsewhere
    # hint: Each rule is g times an indicator: a 1 where it may pass, a 0 where not.
    # hint: (x > 0) has the shape of x and holds True and False; multiplied with g they count as 1 and 0.
    # hint: gradient: g * (x > 0); deconvnet: g * (g > 0); guided: g * (x > 0) * (g > 0)
    if rule == "gradient":
        return g * (x > 0)
    if rule == "deconvnet":
        return g * (g > 0)
    return g * (x > 0) * (g > 0)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
back_through_relu = check("05.2", back_through_relu)

# %% slideshow={"slide_type": "skip"}
hint("05.2")

# %% slideshow={"slide_type": "skip"}
quiz("05.q1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Backwards through a convolution
#
# A filter found its pattern and wrote a number. Backwards, the number stamps the pattern: a transposed convolution,
# with the *same* weights. Several filters stamp one over the other, and add.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 05.3: stamp
#
# `weight` is that of the convolution, (filters, channels, k, k). The convolution had stride 1 and some padding.
# PyTorch's `F.conv_transpose2d` takes these very weights.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def back_through_conv(signal, weight, padding):
    """From maps to what they were made of: (1, F, h, w), (F, C, k, k), int -> (1, C, H, W)."""
    # BEGIN SOLUTION: the transposed convolution with the same weights and the same padding
    # hint: One call is enough. Which function of torch.nn.functional stamps a kernel for every number?
    # hint: The weights go in as they are, (F, C, k, k): conv_transpose2d takes F channels and gives C.
    # hint: return F.conv_transpose2d(signal, weight, padding=padding)
    return F.conv_transpose2d(signal, weight, padding=padding)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
back_through_conv = check("05.3", back_through_conv)

# %% slideshow={"slide_type": "skip"}
hint("05.3")

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 05.4: a deconvnet of one layer
#
# The network is: convolution (padding 1, no bias), ReLU, max pool 2x2. Go up, and find the largest number of map
# `channel` after the pool. Then go down with this number alone: unpool, rectify, stamp.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def one_layer_deconvnet(image, weight, channel):
    """What of the image made the strongest unit of a channel fire: (1, C, H, W), (F, C, 3, 3), int -> (1, C, H, W)."""
    # BEGIN SOLUTION: up with switches, keep the largest number of the channel, unpool, rectify, transposed convolution
    # hint: Two halves. Up: F.conv2d, relu, F.max_pool2d(..., return_indices=True). Down: the same three, backwards.
    # hint: start = torch.zeros_like(pooled); it holds one number: the largest of pooled[0, channel], at its own place.
    # hint: F.max_unpool2d(start, switches, 2, output_size=maps.shape[-2:]).clamp(min=0), then F.conv_transpose2d(..., weight, padding=1)
    maps = F.conv2d(image, weight, padding=1).clamp(min=0)
    pooled, switches = F.max_pool2d(maps, 2, return_indices=True)
    start = torch.zeros_like(pooled)
    position = pooled[0, channel].argmax()
    start[0, channel].view(-1)[position] = pooled[0, channel].view(-1)[position]
    signal = F.max_unpool2d(start, switches, 2, output_size=maps.shape[-2:]).clamp(min=0)
    return F.conv_transpose2d(signal, weight, padding=1)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
one_layer_deconvnet = check("05.4", one_layer_deconvnet)

# %% slideshow={"slide_type": "skip"}
hint("05.4")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Down through a whole network
#
# Step 0 is one unit. Move **step**, and go down layer by layer: unpool, rectify, stamp, again and again.
# Watch one point become a pattern. (The first steps look alike: multiplying one number does not move it.)

# %% tags=["widget"]
widgets.walk()

# %% [markdown] tags=["teacher"]
# 5 minutes. Read the path aloud as you go. At an unpool the signal jumps apart: that is the switches. At a convolution it
# smears out: that is the stamping. At a ReLU the blue vanishes.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Two ways, one picture
#
# There is a second way. Ordinary back-propagation goes down, too: transposed convolutions, and unpooling by switches.
# Only at the ReLUs it does something else. So change that one rule, and let PyTorch do the rest.
#
# Two programs that have hardly a line in common. They must agree.

# %%
photo = data.images[found.image_index[chosen[0], :1]].double()  # the strongest picture of our first channel
exact = models.load(NET).double()
unit = deconvnet.strongest_unit(exact, photo, name, chosen[0])
by_walking = deconvnet.layer_by_layer(exact, photo, unit)
by_autograd = deconvnet.project(exact, photo, unit, rule="deconvnet")
difference = (by_walking - by_autograd).abs().max() / by_autograd.abs().max()
assert difference < 1e-10
print(f"{unit}: largest number {by_autograd.abs().max():.4f}, largest difference {difference:.1e} of it")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Which pixels made it fire?
#
# Choose a picture, a unit and a rule. Which rule gives the cleanest picture? Which follows the photo most closely?

# %% tags=["widget"]
widgets.project()

# %% [markdown] tags=["teacher"]
# 6 minutes. Gradient: noisy, both signs. Guided: sharp, like a drawing. Deconvnet: in between. Ask which one to *believe*, and
# keep the answers: the next slides and lecture 06b test them. The cleanest picture is not the truest.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## A trap: pools that overlap
#
# AlexNet pools windows of 3x3 with stride 2. They overlap. Two windows can have the same largest pixel, and both send
# their number back to it. PyTorch's `max_unpool2d` lets the second **overwrite** the first. They should add: on the way up
# this pixel was used twice.

# %%
row = torch.tensor([[[[1.0, 2.0, 9.0, 2.0, 1.0]] * 3]])  # (1, 1, 3, 5): the 9 stands in both windows
top_values, positions = F.max_pool2d(row, 3, stride=2, return_indices=True)  # (1, 1, 1, 2)
overwritten = F.max_unpool2d(top_values, positions, 3, stride=2, output_size=row.shape[-2:])
added = layers.max_unpool2d(top_values, positions, row.shape)
fig, axes = plt.subplots(1, 3, figsize=(12, 2.7), layout="constrained")
for ax, table, title in zip(axes, [row, overwritten, added], ["two windows, one largest", "overwritten: 9", "added: 18"], strict=True):
    images.numbers(table[0, 0], ax=ax, title=title, decimals=0, limits=(0, 18))
for left in (0, 2):
    images.frame(axes[0], row=0, column=72 * left, height=72 * 3, width=72 * 3)
show(fig, alt="Three by five numbers with two framed windows that share the column of nines; unpooled by overwriting there is one nine, by adding an eighteen.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## A worse trap: does it look at the picture at all?
#
# Look at the deconvnet rule again: $g \cdot [g > 0]$. There is no $x$ in it. The picture enters only through the switches
# of the pools. Now take a network **without pools**.

# %% tags=["predict"]
predict(
    "05.p2",
    "Two quite different photos, one unit, a network of convolutions and ReLUs without any pool. We start both walks "
    "with a 1. How alike are the two deconvnet projections?",
    options=["the same in every pixel", "alike", "quite different"],
    truth="the same in every pixel",
)

# %%
torch.manual_seed(SEED)
blind = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5, padding=2), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 5, padding=2), torch.nn.ReLU())
both = torch.cat([photos.load(photo, size=15) for photo in ("cat", "coffee")])
with torch.no_grad():
    channel = blind(both)[:, :, 7, 7].amin(dim=0).argmax().item()  # in the middle, and active in both
position = Unit("3", channel, 7, 7)
fig, axes = plt.subplots(2, 4, figsize=(11.5, 5.6), layout="constrained")
for line, one in zip(axes, both, strict=True):
    images.picture(one, ax=line[0], title="the photo")
    for ax, rule in zip(line[1:], ("deconvnet", "gradient", "guided"), strict=True):
        signal = deconvnet.project(blind, one[None], position, rule, initial="one")[0]
        images.signed(signal.sum(dim=0), ax=ax, bar=False, title=rule)
show(fig, alt="Two photos, and for each the projections of the same unit by three rules. The two deconvnet projections are identical; "
              "those by gradient and guided differ.")
same = [deconvnet.project(blind, one[None], position, "deconvnet", initial="one") for one in both]
print("largest difference of the two deconvnet projections:", (same[0] - same[1]).abs().max().item())

# %% [markdown] slideshow={"slide_type": "fragment"}
# Not one pixel differs. What looked like an explanation of the photo is a picture of the *weights*.
# With pools it is better, but the warning stays: a beautiful picture is no proof (lecture 06b).

# %% slideshow={"slide_type": "skip"}
quiz("05.q2")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The sheets of the paper
#
# For every layer six units, evenly spread: nine pieces, and what each unit used of them. As in Zeiler & Fergus, each
# projection fills its own scale: you see the pattern, not the strength.
#
# In the first layer all nine projections are the same. No pool and no ReLU lies below: it is the filter itself.

# %%
def sheet(k):
    """Six units of the k-th of our layers with their projections, if there are so many layers."""
    for layer in names[k : k + 1]:
        ranking = top.scan(model, data.images, layer, k=9)
        spread = [int((c + 0.5) * len(ranking.values) / 6) for c in range(6)]
        area = receptive.field(model, layer, data.images.shape[-1])
        pieces = top.patches(data.images, ranking, area, channels=spread, outside=0.5)
        down = deconvnet.project_top_patches(model, data.images, ranking, area, channels=spread)
        show(sheets.units(pieces, down, titles=[f"{layer}, {c}" for c in spread]),
             alt=f"Six channels of {layer}: nine pieces of pictures each, and to the right of them their projections on grey.")


sheet(0)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The second layer: six units and what they used

# %%
sheet(1)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The third layer: six units and what they used

# %%
sheet(2)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The fourth layer: six units and what they used

# %%
sheet(3)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The fifth layer: six units and what they used

# %%
sheet(4)

# %% [markdown] tags=["teacher"]
# 6 minutes. Layer 1: the projection is the filter itself, in nine places. From layer 3 on: what do the nine projections share that
# the nine pieces do not? That is the better guess at what the unit looks for.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Any unit, any rule
#
# Pieces and projections, for the units of three networks. Find one whose pieces look unlike and whose projections
# look alike.

# %% tags=["widget"]
widgets.sheet(n=120 if FAST else 600, seed=SEED)

# %% slideshow={"slide_type": "skip"}
quiz("05.q3")

# %% [markdown] tags=["bug-hunt"] slideshow={"slide_type": "skip"}
# ### Bug hunt
#
# Somebody wrote guided back-propagation. The pictures look fine, a little blurred perhaps. As long as all $x$ are 0 or 1
# it is right. Find the fault, mend it, and run the check.

# %% tags=["bug-hunt"] slideshow={"slide_type": "skip"}
def guided(x, g):
    """Backwards through a ReLU by the guided rule: (H, W), (H, W) -> (H, W)."""
    return g.clamp(min=0) * x.clamp(min=0)


x, g = torch.tensor([[1.0, -1.0, 3.0]]), torch.tensor([[2.0, 2.0, 2.0]])
print("found:", guided(x, g), "- a signal of 2 comes through as 2, or not at all")

# %% tags=["solution"] slideshow={"slide_type": "skip"}
def guided(x, g):
    """Backwards through a ReLU by the guided rule: (H, W), (H, W) -> (H, W)."""
    return g.clamp(min=0) * (x > 0)  # whether x was positive, not how much

# %% tags=["check"] slideshow={"slide_type": "skip"}
guided = check("05.bug", guided)

# %% slideshow={"slide_type": "skip"}
progress()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three things to keep
#
# 1. Down to the pixels: unpool by switches, rectify, stamp with the same weights.
# 2. Deconvnet, gradient and guided differ in one rule at the ReLU, and in nothing else.
# 3. Without pools a deconvnet draws the weights, not the picture. Clean is not true.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## New words
#
# | word | meaning |
# |---|---|
# | deconvnet | a network run backwards, from one activation to the pixels |
# | projection | what a deconvnet gives at the pixels; has a sign |
# | unpooling | putting pooled numbers back where their switches say |
# | rectify | set to zero what is negative: a ReLU, also on the way back |
# | backward rule | what a ReLU lets through of the signal that comes back |
# | back-propagation | the way back through all layers that computes gradients |
# | guided back-propagation | back-propagation that passes a ReLU only where its input and the signal from above are both positive |
#
# ## References
#
# - M. Zeiler, R. Fergus: *Visualizing and understanding convolutional networks*, ECCV 2014, arXiv:1311.2901.
# - M. Zeiler, G. Taylor, R. Fergus: *Adaptive deconvolutional networks*, ICCV 2011 (switches).
# - K. Simonyan, A. Vedaldi, A. Zisserman: *Deep inside convolutional networks*, 2014, arXiv:1312.6034 (section 4: deconvnet and gradient).
# - J. Springenberg et al.: *Striving for simplicity: the all convolutional net*, ICLR workshop 2015, arXiv:1412.6806 (guided).
# - A. Mahendran, A. Vedaldi: *Salient deconvolutional networks*, ECCV 2016 (what deconvnets depend on).
