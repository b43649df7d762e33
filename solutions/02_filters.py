# %% [markdown] slideshow={"slide_type": "slide"}
# # 02 · Filters
#
# **What do the learned weights look like, and did training go well?**
#
# You will be able to
#
# - draw the filters of a first layer, and say what grey means;
# - say why the filters of deeper layers cannot be drawn like that;
# - find the direction in which a filter looks;
# - tell a good training from a bad one by its filters alone;
# - train a small network yourself, and stop it.
#
# **Minutes:** 40 for the lecture, 35 for the exercises.
# **Needs:** lecture 01. No internet.

# %%
import matplotlib.pyplot as plt
import torch

from cnnlab.course import TODO, check, hint, predict, progress, quiz
from cnnlab.data import digits
from cnnlab.drawing import charts, images, show
from cnnlab.methods.analysis import filters
from cnnlab.nets import models, pretrained, weight_files
from cnnlab.nets.training import train
from cnnlab.widgets.lessons import filters as widgets, live_training

# %% tags=["parameters"]
FAST = False  # True: train for less long
SEED = 0
NET = "photonet"  # or "shapesnet", "simpleconvnet", "encoder"
FAMOUS = "alexnet"  # or "squeezenet1_0", "vgg16" ...: if its weights are on this machine

# %% slideshow={"slide_type": "slide"}
weight = models.load(NET).conv1.weight.detach()  # (filters, channels, rows, columns)
untrained = models.build(NET, seed=SEED).conv1.weight.detach()
fig, axes = plt.subplots(1, 2, figsize=(12.4, 3.1), layout="constrained", gridspec_kw={"wspace": 0.08})
images.filters(untrained, ax=axes[0], shared=False, columns=8, title="before training: noise")
images.filters(weight, ax=axes[1], shared=False, columns=8, title="after training")
show(fig, alt=f"Two sheets with the {len(weight)} filters of the first layer of {NET}. Before training "
              "every one is noise. After training many show edges in different directions, and some "
              "show blobs.")

# %% [markdown]
# Nobody drew the pictures on the right. They are weights, drawn as pixels.
# The network started as noise and found edges and blobs of colour, because they help.

# %% [markdown] tags=["teacher"]
# 2 minutes. Ask what the room sees before you say "edge" or "blob". Somebody will see a face: good, talk about it.


# %% [markdown] slideshow={"slide_type": "slide"}
# ## A filter is a small picture
#
# A filter of the first layer has one kernel for red, one for green, one for blue. So it is a colour picture.
# But a weight can be negative. What is negative red?
#
# We make **zero grey**. Brighter than grey is positive, darker is negative.
# The strongest weight becomes fully bright or fully dark.

# %% tags=["predict"]
predict(
    "02.p1",
    "A filter has weights from -0.1 to 0.3, and we draw it by the rule above. "
    "How bright is the weight -0.1? (0 is black, 1 is white)",
    options=["0", "about 0.33", "about 0.45"],
    truth="about 0.33",
)

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 02.1: a filter for display
#
# Zero becomes 0.5. The strongest weight becomes 0 or 1, whichever side it is on. One scale for all channels.
# A filter of zeros becomes grey everywhere: take care not to divide by zero.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def for_display(weight):
    """One filter as numbers in [0, 1]: (C, K, K) -> (C, K, K)."""
    # BEGIN SOLUTION: divide by the largest absolute weight, then move the range to [0, 1]
    # hint: By which number must you divide, so that all weights lie between -1 and 1? Mind the negative ones.
    # hint: weight.abs().max() is one number for the whole filter. If it is 0, the answer is 0.5 everywhere.
    # hint: return 0.5 + 0.5 * weight / strongest, and torch.full_like(weight, 0.5) if strongest is 0
    strongest = weight.abs().max()
    return 0.5 + 0.5 * weight / strongest if strongest > 0 else torch.full_like(weight, 0.5)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
for_display = check("02.1", for_display)

# %% slideshow={"slide_type": "skip"}
hint("02.1")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### One scale for all, or each its own?
#
# With one scale a weak filter looks weak. With its own scale you see its pattern, however weak it is.
# Always say which one you show: a picture of noise can be stretched until it looks important.

# %%
fig, axes = plt.subplots(1, 2, figsize=(12.4, 3.1), layout="constrained", gridspec_kw={"wspace": 0.08})
images.filters(weight, ax=axes[0], shared=True, columns=8, title="one scale for all")
images.filters(weight, ax=axes[1], shared=False, columns=8, title="each its own")
show(fig, alt="The same filters twice. With one scale for all, some are strong and some are nearly "
              "grey. With a scale for each, all patterns are equally strong.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Look through them
#
# Choose a layer, move through its filters. What do those of the first layers have in common?
# And what happens in `conv2`?

# %% tags=["widget"]
widgets.browser()

# %% [markdown] tags=["teacher"]
# Let somebody find a blob, an edge, and a filter without colour. Grey filters have three equal kernels: they look
# at brightness. Then go to conv2 and ask: what would "green" mean here? There is no answer, and that is the point.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Why deeper filters have no picture
#
# The second layer does not see the photo. It sees the maps of the first layer: one channel for each filter there.

# %% tags=["predict"]
predict(
    "02.p2",
    "The first layer of photonet has 32 filters. How many weights does ONE filter of the second layer "
    "have, with kernels of 5x5?",
    options=[25, 75, 800, 51200],
    truth=lambda: models.build("photonet").conv2.weight[0].numel(),
)

# %% slideshow={"slide_type": "skip"}
quiz("02.q1")

# %% [markdown]
# So we need other ways to ask what a deeper filter looks for. Lectures 04 to 07 have four of them.

# %% [markdown] tags=["teacher"]
# 3 minutes. The answer is 800: 32 channels times 25. Expected wrong answer: 75, three colours as in the first layer.


# %% [markdown] slideshow={"slide_type": "slide"}
# ## In which direction does a filter look?
#
# A wave under a bell is called a **Gabor** filter. Cells at the back of your brain answer to such patterns.
# Here are four learned filters, their brightness alone, each above the Gabor that is most like it.
# The number says how alike they are: 1 is the same pattern. Red is positive, blue negative, white zero.

# %%
bright = weight.mean(dim=1)  # (filters, rows, columns): the colours aside
fits = [filters.nearest_gabor(kernel) for kernel in bright]
best = sorted(range(len(fits)), key=lambda k: -fits[k][1])[:4]
fig, axes = plt.subplots(2, 4, figsize=(9.5, 5), layout="constrained")
for column, k in zip(axes.T, best, strict=True):
    (gabor, alike), limit = fits[k], bright[k].abs().max().item()
    images.signed(bright[k], ax=column[0], limit=limit, title=f"filter {k}")
    images.signed(gabor, ax=column[1], limit=limit, title=f"Gabor: {alike:.2f}")
show(fig, alt="Four learned filters, red where positive and blue where negative, above four Gabor "
              "filters of the same direction and width. They are alike: similarities from "
              f"{fits[best[-1]][1]:.2f} to {fits[best[0]][1]:.2f}.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# How can we compute the direction? Along a line the weights hardly change. Across it they change a lot.
# So measure the change in four directions, and take the direction in which there is the **least**.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 02.2: the direction of the lines
#
# Four directions: 0 is horizontal, 45 rises to the right, 90 is vertical, 135 falls to the right.
# For each: take every weight minus its neighbour in that direction, if it has one. Square, and take the mean.
# A diagonal neighbour is farther away, by the square root of 2: divide the mean by 2 there.
# Return the direction with the smallest number.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def orientation(kernel):
    """Along which direction the lines of a kernel run: (K, K) -> 0, 45, 90 or 135."""
    # BEGIN SOLUTION: the mean squared difference to the neighbour, in four directions; the smallest wins
    # hint: kernel[:, 1:] - kernel[:, :-1] holds all differences to the right, along 0 degrees.
    # hint: Rows count downwards. Along 45 degrees the neighbour is one row up, one column right: kernel[:-1, 1:] - kernel[1:, :-1].
    # hint: energy = {0: ..., 45: ... / 2, 90: ..., 135: ... / 2}; return min(energy, key=energy.get)
    energy = {
        0: (kernel[:, 1:] - kernel[:, :-1]).square().mean().item(),
        45: (kernel[:-1, 1:] - kernel[1:, :-1]).square().mean().item() / 2,
        90: (kernel[1:] - kernel[:-1]).square().mean().item(),
        135: (kernel[1:, 1:] - kernel[:-1, :-1]).square().mean().item() / 2,
    }
    return min(energy, key=energy.get)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
orientation = check("02.2", orientation)

# %% slideshow={"slide_type": "skip"}
hint("02.2")

# %%
counts = {angle: sum(orientation(kernel) == angle for kernel in bright) for angle in (0, 45, 90, 135)}
ax = charts.bars({f"{angle} degrees": count for angle, count in counts.items()}, xlabel="filters",
                 title="in which direction the filters look")
show(ax.figure, alt="Bars: how many filters look in each of four directions. "
                    + ", ".join(f"{angle} degrees: {count}" for angle, count in counts.items()) + ".")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Which direction is rare? Think of the photos that people take: horizons, walls, legs.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Watch them appear
#
# We kept the filters after every epoch of two trainings. One went well.
# The other had a learning rate a hundred times as high. From which epoch on can you tell?
#
# The bad one was stopped after 12 epochs. Its last filters stay while the good one goes on.

# %% tags=["widget"]
widgets.growth()

# %% [markdown] tags=["teacher"]
# 5 minutes. Stop at epoch 3: can anybody say which one will fail? At epoch 5 everybody can. Ask for a reason,
# not for a colour: "they became flat", "half of them are grey".


# %% [markdown] slideshow={"slide_type": "subslide"}
# Good filters have **structure**: neighbouring weights are alike. We can measure that.
# And they all have a **use**: none is dead.

# %%
good, bad = weight_files.load("photonet-filters"), weight_files.load("photonet-bad-filters")
smooth = {"good": [], "bad": []}
alive = {"good": [], "bad": []}
for name, run in (("good", good), ("bad", bad)):
    for kernels in run["conv1.weight"]:
        smooth[name].append(filters.smoothness(kernels).nanmean().item())
        alive[name].append(len(kernels) - len(filters.dead(kernels)))
fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
charts.lines(smooth, ax=axes[0], xlabel="epoch", title="neighbouring weights alike")
charts.lines(alive, ax=axes[1], xlabel="epoch", title="filters alive")
axes[1].set_ylim(0, len(weight) + 2)
show(fig, alt="Two charts over the epochs. In the good training the likeness of neighbouring weights "
              "rises slowly from 0, and all filters stay alive. In the bad training it rises at once, "
              "and many filters die.")
assert min(alive["good"]) == alive["good"][0] > 2 * min(alive["bad"])
assert smooth["bad"][-1] > smooth["good"][-1]

# %% [markdown] slideshow={"slide_type": "fragment"}
# A surprise: the bad training has the *smoother* filters. One number alone is not enough.
# Its filters are smooth because they are dull: many of them die, and the others are plain blobs.

# %% slideshow={"slide_type": "skip"}
quiz("02.q2")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Do two filters do the same?
#
# Correlate each filter with every other. 1: the same pattern, 0: nothing in common, -1: the negative.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 02.3: the correlation matrix
#
# Write every filter as one long row. Subtract the row's mean. Divide by the row's length as a vector: the
# square root of the sum of its squares (`norm`). Then multiply two rows number by number and add up: that is
# one number of the matrix.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def correlation(weight):
    """How alike each two filters are: (F, C, K, K) -> (F, F)."""
    # BEGIN SOLUTION: rows without mean and of length 1, then all products
    # hint: weight.flatten(1) has one row for each filter.
    # hint: The mean and the length (norm) are taken along dim=1, with keepdim=True, so that they fit the rows.
    # hint: flat = flat - its mean; flat = flat / flat.norm(dim=1, keepdim=True); return flat @ flat.T
    flat = weight.flatten(1)
    flat = flat - flat.mean(dim=1, keepdim=True)
    flat = flat / flat.norm(dim=1, keepdim=True)
    return flat @ flat.T
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
correlation = check("02.3", correlation)

# %% slideshow={"slide_type": "skip"}
hint("02.3")

# %%
fig, axes = plt.subplots(1, 2, figsize=(10.5, 4.8), layout="constrained")
sides = {"xlabel": "filter", "ylabel": "filter"}
charts.matrix(correlation(untrained), ax=axes[0], title="before training", **sides)
charts.matrix(correlation(weight), ax=axes[1], title="after training", **sides)
show(fig, alt="Two matrices of correlations between filters. Before training all numbers off the "
              "diagonal are near zero. After training some pairs are clearly positive or negative.")
torch.testing.assert_close(correlation(weight), filters.correlation(weight), atol=1e-4, rtol=0)
print("pairs that are nearly the same (above 0.9):", filters.duplicates(weight, above=0.9))

# %% [markdown]
# Random filters have nothing in common. Learned ones are a little alike, because all of them are smooth.
# What you do not want is a pair near 1: two filters, one job.

# %% [markdown] tags=["teacher"]
# 3 minutes. Ask what -1 would mean, and whether a layer needs both (quiz 02.q3): after a ReLU, yes.


# %% slideshow={"slide_type": "skip"}
quiz("02.q3")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Train one yourself
#
# A small network, and handwritten digits. It takes a few seconds on a laptop.

# %%
handwriting, unseen = digits.load("train"), digits.load("test")
model = models.build("simpleconvnet", seed=SEED)
before = model.conv1.weight.detach().clone()
history = train.fit(model, handwriting, unseen, epochs=1 if FAST else 8, seed=SEED)
fig, axes = plt.subplots(1, 3, figsize=(12.4, 3.4), layout="constrained", gridspec_kw={"wspace": 0.08})
images.filters(before, ax=axes[0], columns=4, title="before")
images.filters(model.conv1.weight, ax=axes[1], columns=4, title="after")
charts.lines({"loss": history.step_loss}, ax=axes[2], xlabel="step", title="loss of each batch")
show(fig, alt="The eight filters of 5 by 5 before and after training, and the loss, "
              "which falls quickly and then slowly.")
print(f"{history.val_accuracy[-1]:.0%} of {len(unseen.labels)} digits that it had never seen "
      f"are right, after {history.seconds[-1]:.1f} s")
assert FAST or history.val_accuracy[-1] > 0.95

# %% [markdown]
# A grey picture has one channel, so a filter has one kernel: no colours. We draw it as a map with a sign, red
# positive, blue negative, **white zero**. After a few seconds these filters still look rough. They work all the same:
# digits are easy. Sixty epochs on photos made the smooth ones above.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Train it live
#
# Press **Train**. Then try the largest learning rate. Then the smallest. It is quick: **slow motion** lets you
# watch every step. Press **Stop** whenever you like: what it learned stays.

# %% tags=["widget"]
live_training.live(epochs=2 if FAST else 8, seed=SEED)

# %% [markdown] tags=["teacher"]
# 6 minutes. One student each sets the rate, the seed, the number of filters. With 0.1 it never learns: let the room say
# from the curves when they would have stopped it.


# %% [markdown]
# At which learning rate does it learn fastest? At which not at all? Do the filters tell you before the loss does?

# %% [markdown] slideshow={"slide_type": "skip"}
# ## The filters that made history
#
# AlexNet won the ImageNet competition in 2012. Its first filters are 11x11, learned from 1.2 million photos.
# They are not shipped with this course. If they are on your machine, here they are.

# %% slideshow={"slide_type": "skip"}
if pretrained.is_here(FAMOUS):
    famous = models.load(FAMOUS).conv1.weight.detach()
    side = famous.shape[-1]
    title = f"{FAMOUS}: {len(famous)} filters of {side}x{side}"
    ax = images.filters(famous, shared=False, columns=16, title=title)
    show(ax.figure, alt=f"The first filters of {FAMOUS}: fine and coarse waves in many directions, "
                        "and blobs of colour.")
else:
    print(f"The weights of {FAMOUS} are not on this machine. "
          f"With a network, `python -m cnnlab fetch {FAMOUS}` brings them.")

# %% [markdown] tags=["bug-hunt"] slideshow={"slide_type": "skip"}
# ### Bug hunt
#
# Matplotlib wants the channels last: (K, K, 3). This function brings them there. The trained filters look like
# noise now. Is the training bad, or the picture? Find the fault, mend it, and run the check.

# %% tags=["bug-hunt"] slideshow={"slide_type": "skip"}
def as_images(weight):
    """Channels last: (F, 3, K, K) -> (F, K, K, 3)."""
    return weight.reshape(weight.shape[0], weight.shape[2], weight.shape[3], 3)


trained = weight_files.load("photonet-filters")["conv1.weight"][-1]  # (32, 3, 7, 7)
fig, axes = plt.subplots(1, 6, figsize=(10, 2), layout="constrained")
for ax, pixels in zip(axes, as_images(trained), strict=False):
    images.picture(for_display(pixels).permute(2, 0, 1), ax=ax)
show(fig, alt="Six filters of the trained photonet, drawn by the function under test. "
              "They look like coloured noise.")

# %% tags=["solution"] slideshow={"slide_type": "skip"}
def as_images(weight):
    """Channels last: (F, 3, K, K) -> (F, K, K, 3)."""
    return weight.permute(0, 2, 3, 1)  # moves the axes; reshape fills in the order of memory

# %% tags=["check"] slideshow={"slide_type": "skip"}
as_images = check("02.bug", as_images)

# %% slideshow={"slide_type": "skip"}
progress()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three things to keep
#
# 1. First filters are pictures: zero is grey, and the scale must be said.
# 2. Deeper filters have no picture. Their inputs are maps, not colours.
# 3. Structure, use and no doubles: three numbers say whether a training went well. One is not enough.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## New words
#
# | word | meaning |
# |---|---|
# | Gabor filter | a wave under a bell; looks for a line or an edge in one direction |
# | correlation (of two patterns) | how alike they are, whatever their strength: from -1 to 1 |
# | dead filter | one whose weights are so small that its map is always empty |
# | training | changing the weights step by step, so that the answers get better |
# | loss | one number for how wrong the answers are; training makes it small |
# | batch | the pictures that are looked at before the weights make one step |
# | epoch | one pass through all training pictures |
# | learning rate | how large a step each batch of pictures makes the weights take |
# | seed | where a computer's chance starts: the same seed gives the same random numbers |
# | snapshot | a copy of the weights, kept while the training goes on |
#
# ## References
#
# - A. Krizhevsky, I. Sutskever, G. Hinton: *ImageNet classification with deep convolutional neural networks*, NIPS 2012.
# - M. Zeiler, R. Fergus: *Visualizing and understanding convolutional networks*, ECCV 2014, arXiv:1311.2901.
# - B. Olshausen, D. Field: *Emergence of simple-cell receptive field properties by learning a sparse code*, Nature 381, 1996.
# - D. Gabor: *Theory of communication*, Journal of the IEE 93, 1946.
