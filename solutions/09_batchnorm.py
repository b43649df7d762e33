# %% [markdown] slideshow={"slide_type": "slide"}
# # 09 · Batch norm
#
# **Why do deep networks not train, and what made them train?**
#
# You will be able to
#
# - say how large a signal and a gradient are after so many layers, before anything is trained;
# - choose first weights that keep them, and say where the 2 in He's rule comes from;
# - write batch norm, say what it remembers and why `eval()` matters, and fold it away in the end;
# - say why deeper plain nets get worse, and why a shortcut mends it;
# - read the flight recorder of a training.
#
# **Minutes:** 50 for the lecture, 40 for the exercises.
# **Needs:** lectures 01 and 02. No internet.

# %%
import matplotlib.pyplot as plt
import torch

from cnnlab.course import TODO, check, hint, predict, progress, quiz
from cnnlab.data import digits, shapes
from cnnlab.drawing import Table, charts, images, show
from cnnlab.methods.analysis import signal_propagation
from cnnlab.nets import layers, models, training
from cnnlab.probing import FlightRecorder, Recorder
from cnnlab.widgets.lessons import batchnorm, live_flight_recorder

# %% tags=["parameters"]
FAST = False  # True: fewer pictures and steps
SEED = 0

# %% slideshow={"slide_type": "slide"}
depths = training.SWEEPS["depth"].grid["depth"]
plain = {depth: training.runs("depth", residual=False, depth=depth) for depth in depths}
fig, ax = plt.subplots(figsize=(9, 3.6), layout="constrained")
curves = {f"{depth} layers": found.curve("loss") for depth, found in plain.items()}
title = "loss on the training digits, mean of three trainings"
charts.lines(curves, x=range(1, 9), ax=ax, title=title, xlabel="epoch", ylabel="loss")
show(fig, alt="Training loss over eight epochs; at the end " + "; ".join(
    f"with {depth} layers {found.end('loss'):.2f}" for depth, found in plain.items()))

# %% [markdown]
# Four networks, the same but for their depth, learn a thousand handwritten digits. We look at the digits they **learn from**.
#
# Five layers are few. But from 11 on, deeper is **worse**, though the deepest can do all that the others can: its other layers would only
# have to copy. **Over-fitting is something else:** there, the loss on the training set is *low*. This net does not even learn its
# exercises. Why?

# %% [markdown] tags=["teacher"]
# 3 minutes. Somebody will say "over-fitting" or "too few data". Point at the axis: training loss. The curves are shipped with the
# course (`python -m cnnlab sweep depth` makes them again). Digits of scikit-learn, 1000 of them, 8 epochs.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## A product of many numbers
#
# The smallest deep network: one number goes in, and each layer multiplies it by its weight.
#
# $$y = x \cdot w_1 \cdot w_2 \cdots w_n$$
#
# The gradient is such a product, too: $\dfrac{\partial y}{\partial x} = w_1 \cdot w_2 \cdots w_n$, and
# $\dfrac{\partial y}{\partial w_1} = x \cdot w_2 \cdots w_n$.

# %% tags=["predict"]
predict(
    "09.p1",
    "Fifty layers, and each multiplies by 0.8. Which share of the gradient arrives at the first layer?",
    options=["about 1 / 5", "about 1 / 500", "about 1 / 70 000"],
    truth="about 1 / 70 000",
)

# %% slideshow={"slide_type": "subslide"}
weights = (0.8, 0.9, 1.0, 1.1, 1.2)
fig, ax = plt.subplots(figsize=(9, 3.6), layout="constrained")
products = {f"w = {w:g}": [w**n for n in range(51)] for w in weights}
charts.lines(products, ax=ax, log=True, title="the same weight in every layer", xlabel="layers", ylabel="y / x")
show(fig, alt="; ".join(f"with weights of {w:g}, after 50 layers {w**50:.2g}" for w in weights))
assert 65_000 < 1 / 0.8**50 < 75_000

# %% [markdown]
# A little below 1: the gradient **vanishes**, and the first layers learn nothing. A little above 1: it **explodes**, and one step throws
# the weights away. Only 1 is safe. What is the "1" of a real layer?

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The "1" of a layer
#
# A unit adds up $n$ products: $z = w_1 h_1 + \dots + w_n h_n$. Weights are drawn at random, with mean 0. Then variances add up:
#
# $$E[z^2] = n \cdot \mathrm{Var}(w) \cdot E[h^2]$$
#
# Without a ReLU, $\mathrm{Var}(w) = 1/n$ keeps the size. A ReLU sets one half of the $z$ to zero, and with it one half of $E[z^2]$. So a
# net with ReLUs needs twice as much:
#
# $$\mathrm{Var}(w) = \frac{2}{n} \qquad \text{(He et al. 2015)}$$
#
# $n$ is the number of **inputs of one unit**. In a convolution: channels times places of the kernel.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 09.1: first weights
#
# `noise` holds random numbers with mean 0 and variance 1, in the shape of the weights. Scale them, so that their variance is 2 / inputs.
# It is (F, C) for a dense layer and (F, C, K, K) for a convolution; `noise[0]` are the weights of one unit.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def he(noise):
    """Standard normal numbers, (F, C) or (F, C, K, K) -> first weights for layers with ReLU, like them."""
    # BEGIN SOLUTION: noise times the root of 2 / inputs
    # hint: Multiplying by a makes the variance a squared. Which a is wanted?
    # hint: The inputs of one unit are the weights of one filter: noise[0].numel().
    # hint: return noise * (2 / noise[0].numel()) ** 0.5
    return noise * (2 / noise[0].numel()) ** 0.5
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
he = check("09.1", he)

# %% slideshow={"slide_type": "skip"}
hint("09.1")

# %% slideshow={"slide_type": "slide"}
chains = {f"{c:g} / n": signal_propagation.propagate(20, variance=c, seed=SEED) for c in (1.0, 2.0, 3.0)}
fig, axes = plt.subplots(1, 2, figsize=(12, 3.7), layout="constrained")
forward = {name: chain.forward.tolist() for name, chain in chains.items()}
backward = {name: chain.backward.tolist() for name, chain in chains.items()}
look = {"log": True, "xlabel": "layer", "ylabel": "mean square"}
charts.lines(forward, ax=axes[0], title="the signal, on its way forward", **look)
charts.lines(backward, ax=axes[1], title="the slope, on its way back", **look)
for chain in chains.values():  # what the formula says, at every second layer
    axes[0].plot(range(0, 21, 2), chain.theory[::2], "o", color="black", markersize=5)
show(fig, alt="Mean square of signal and slope over 20 layers. " + "; ".join(
    f"first weights of variance {name}: signal after 20 layers {ends[-1]:.1e}, slope at the input {backward[name][0]:.1e}"
    for name, ends in forward.items()))
assert 0.3 < forward["2 / n"][-1] < 3 and 2**-22 < forward["1 / n"][-1] < 2**-18

# %% [markdown]
# Twenty dense layers of 256 units. Dots: the formula. With $1/n$ each layer halves: $2^{-20}$, one millionth, remains. With $2/n$ it stays,
# there **and back**. With $3/n$ it grows by half each time.

# %% slideshow={"slide_type": "skip"}
random = torch.Generator().manual_seed(SEED)
h = torch.rand(4, 256, 6, 6, generator=random)
for _ in range(10):  # ten convolutions with your first weights, if they are right; padded by the other side, not by zeros
    weight = he(torch.randn(256, 256, 3, 3, generator=random))
    h = torch.conv2d(torch.nn.functional.pad(h, (1, 1, 1, 1), mode="circular"), weight).relu()
print(f"ten convolutions with he(): the mean square was 0.33, and is {h.square().mean():.2f}")
assert 0.05 < h.square().mean() < 2

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Try to keep it alive
#
# First **depth**, then **variance**: does the dashed theory hold? Then tanh. The two boxes are what this lecture leads to. **Batch norm**
# gives each unit mean 0 and variance 1 over all inputs. A **shortcut** adds what came into a layer to what comes out.

# %% tags=["widget"]
batchnorm.chain()

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### What there was to see, with 50 layers
#
# - **Theory** holds in the mean over all weights. One draw strays from it, and more with every layer.
# - **tanh:** the signal cannot explode. With 4 / n the slope can, and does.
# - **Batch norm:** the signal stays, whatever the variance. But the slope **grows on its way back**, to hundreds of millions.
# - **Shortcuts** alone: nothing dies any more. Now the signal explodes.
# - **Both:** nothing dies, nothing explodes. Why it takes both is the rest of this lecture.

# %% [markdown] tags=["teacher"]
# 8 minutes with the list. Let them find its lines before you show it. tanh at 4 / n: what is saturated lets little through, but each weight
# multiplies by more. Batch norm at depth 50: the signal is fixed at 1/2 whatever the variance, and the slope grows to hundreds of millions
# (Yang et al. 2019). Both together: some hundreds, at either end. We count here
# in float64. In float32, in which networks train, nothing below 1e-45 can be written: such a gradient is really gone.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Does it matter in a real training?

# %%
gains, many = training.SWEEPS["gains"].grid["init_gain"], training.SWEEPS["gains"].grid["depth"]
ended = {depth: [training.runs("gains", depth=depth, init_gain=gain) for gain in gains] for depth in many}
# nan: none ended with a number
right = torch.tensor([[found.end("val_accuracy") for found in row] for row in ended.values()])
fig, ax = plt.subplots(figsize=(9, 4.2), layout="constrained")
images.numbers(right, ax=ax, limits=(0, 1), title="share right after 8 epochs, without batch norm")
for row, column in right.isnan().nonzero().tolist():
    ax.text(72 * column + 36, 72 * row + 36, "burst", ha="center", va="center", fontsize=13, color="#B04A00")
ax.set_xticks([72 * k + 36 for k in range(len(gains))], [f"{gain:g}" for gain in gains], fontsize=13)
ax.set_yticks([72 * k + 36 for k in range(len(many))], [f"{depth} layers" for depth in many], fontsize=13)
ax.set_xlabel("deviation of the first weights, as a multiple of He's", fontsize=13)
show(fig, alt="Share right by the size of the first weights. " + "; ".join(
    f"{depth} layers, {gain:g} times: " + (f"{found.end('val_accuracy'):.0%}" if found.finished else "no number")
    for depth, row in ended.items() for gain, found in zip(gains, row, strict=True)))
learned = {depth: sum(value > 0.3 for found in row for value in found.ends("val_accuracy"))
           for depth, row in ended.items()}
burst = {depth: sum(found.diverged for found in row) for depth, row in ended.items()}
assert learned[5] > learned[13] > learned[21] == 0 and burst[5] < burst[13] < burst[21]
assert all(max(found.ends("val_accuracy")) < 0.15 for row in ended.values() for found in row[:2])  # gain 0.25 and 0.5

# %% [markdown]
# A guess has 0.1; each cell is the mean of two trainings. *Burst:* the loss became no number. At half of He's deviation nothing is learned:
# the signal is gone. At twice, the deeper two burst. **The deeper the net, the narrower the way between.** With 21 layers there is none.
#
# (The best is 1.4, a little above He's. His rule says what keeps its size, not what learns fastest.)

# %% [markdown] tags=["teacher"]
# 3 minutes. Shipped trainings again, two for each gain and depth; rate 0.03, 8 epochs. Why is the best gain above He's? Larger signals make
# larger gradients, as a larger rate would. And these nets are narrow, and the borders of their maps are padded with zeros: at gain 1 their
# signal still shrinks a little (the flight recorder shows it).

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The size is right. And yet
#
# With He's weights nothing vanishes. Still, deep nets hardly learn. So look at something else: show the net 32 different digits. **How
# alike are their activations**, layer by layer? (The cosine of the angle between them: 1 is the same direction.)

# %%
def alike(norm, seed):
    """The mean cosine between the activations of different digits in each layer of an untrained deep net."""
    net = training.network(training.Settings(net="deep", depth=41, norm=norm, seed=seed)).train()
    names = live_flight_recorder.rectifiers(net)
    with torch.no_grad(), Recorder(net, *names) as acts:
        acts.model(digits.load("train").images[:32])
    units = [torch.nn.functional.normalize(acts[name].flatten(1), dim=1) for name in names]  # (32, numbers) each
    # All pairs, but no digit with itself.
    return torch.tensor([((unit @ unit.T).sum().item() - 32) / (32 * 31) for unit in units])


seeds = range(SEED, SEED + (1 if FAST else 4))
angles = {name: torch.stack([alike(norm, seed) for seed in seeds]).mean(dim=0).tolist()
          for name, norm in (("He alone", False), ("with batch norm", True))}
fig, ax = plt.subplots(figsize=(9, 3.2), layout="constrained")
title = "how alike are different digits? 41 layers, untrained, mean of four nets"
charts.lines(angles, x=range(1, 42), ax=ax, title=title, xlabel="layer", ylabel="cosine")
ax.set_ylim(0, 1.05)
show(fig, alt="; ".join(f"{name}: from {found[0]:.2f} in the first to {found[-1]:.2f} in the last layer"
                        for name, found in angles.items()))
assert angles["He alone"][-1] > 0.8 > 0.6 > angles["with batch norm"][-1]

# %% [markdown]
# What comes out of a ReLU is never negative, so it all points one way, and more so from layer to layer. To the last ones **all pictures look
# nearly the same**. What would help: take away what all pictures share, in each layer. That is a mean. And divide what is left by its size.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Batch normalisation
#
# For each channel. Its values over the batch, and over all places, are $x_1 \dots x_m$.
#
# $$\mu = \frac{1}{m}\sum_i x_i \qquad \sigma^2 = \frac{1}{m}\sum_i (x_i - \mu)^2$$
#
# $$\hat{x}_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \epsilon}} \qquad\qquad y_i = \gamma\, \hat{x}_i + \beta$$
#
# $\gamma$ and $\beta$ are learned, one each for every channel: if the layer needs another size, it can have it. But now that is **its own
# choice**, not that of all layers below. (Algorithm 1 of Ioffe & Szegedy 2015.)

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 09.2: batch norm, forward
#
# The box above. The mean and the variance of each channel are over pictures **and** places. Divide the variance by $m$
# (`unbiased=False`); `eps` is `1e-5`, and belongs under the root.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def normalise(x, weight, bias):
    """Batch norm in training: (N, C, H, W), (C,), (C,) -> (N, C, H, W)."""
    # BEGIN SOLUTION: mean and variance over all axes but the channels; then scale and shift
    # hint: Four lines, as in the box. Which axes are left out of a mean for each channel? Only one.
    # hint: x.mean(dim=(0, 2, 3), keepdim=True) has the shape (1, C, 1, 1). weight.view(1, -1, 1, 1) fits to it.
    # hint: return weight.view(1, -1, 1, 1) * (x - mean) / (var + 1e-5).sqrt() + bias.view(1, -1, 1, 1)
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    var = x.var(dim=(0, 2, 3), unbiased=False, keepdim=True)
    normal = (x - mean) / (var + 1e-5).sqrt()
    return weight.view(1, -1, 1, 1) * normal + bias.view(1, -1, 1, 1)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
normalise = check("09.2", normalise)

# %% slideshow={"slide_type": "skip"}
hint("09.2")

# %% slideshow={"slide_type": "slide"}
means, stds = (torch.tensor(each).view(1, 3, 1, 1) for each in ([4.0, -4.0, 0.0], [0.5, 1.0, 2.0]))
x = means + stds * torch.randn(8, 3, 12, 12, generator=torch.Generator().manual_seed(SEED))
y = normalise(x, torch.ones(3), torch.zeros(3))  # yours, if it is right
fig, axes = plt.subplots(1, 2, figsize=(11, 3.1), sharex=True, sharey=True, layout="constrained")
for ax, values, title in zip(axes, (x, y), ("before", "after"), strict=True):
    for channel, colour in enumerate(charts.COLOURS[:3]):
        look = {"color": colour, "histtype": "step", "linewidth": 2, "label": f"channel {channel}"}
        ax.hist(values[:, channel].flatten(), bins=60, range=(-9, 9), **look)
    ax.set_title(f"three channels {title} batch norm", fontsize=15)
    ax.set_xlabel("value", fontsize=13)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("how often", fontsize=13)
axes[1].legend(fontsize=12, loc="upper left", frameon=False)
show(fig, alt="Histograms of three channels. Before, they lie at different places and have different widths; "
     "after, all three lie on each other around 0.")
assert torch.allclose(y, torch.nn.BatchNorm2d(3)(x).detach(), atol=1e-4)

# %% [markdown]
# The same numbers as `torch.nn.BatchNorm2d`. A bias in the convolution before it would be lost at once: the mean takes it away. So
# convolutions before a batch norm have none.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The way back: what one picture is told, all others hear
#
# $\mu$ and $\sigma$ depend on **every** picture of the batch. So a gradient at one output goes to all inputs. Written out:
#
# $$\frac{\partial L}{\partial x_i} = \frac{\gamma}{\sigma}\left( g_i - \overline{g} - \hat{x}_i \cdot \overline{g\,\hat{x}} \right)$$
#
# (A bar is a mean over the batch.) From the gradient $g$ above, two parts are gone: its mean, and its part along $\hat{x}$. To move all by
# the same, or to stretch all, would change nothing.

# %%
single = torch.tensor([1.0, 7.0, 9.0, 15.0]).view(4, 1, 1, 1)  # four pictures, one number each; sigma is 5
g = torch.tensor([10.0, 0.0, 0.0, 0.0]).view(4, 1, 1, 1)  # only the first is told something
below = layers.batch_norm_backward(g, single, torch.ones(1))[0]
leaf = single.clone().requires_grad_()
torch.nn.functional.batch_norm(leaf, None, None, training=True).backward(g)
assert torch.allclose(below, leaf.grad, atol=1e-6) and abs(below.sum()) < 1e-6
Table(["picture", "its number", "told from above", "hears below"],
      [[k + 1, *(round(part[k].item(), 3) for part in (single, g, below))] for k in range(4)],
      "One channel, four pictures: the last column adds up to 0")

# %% [markdown] tags=["teacher"]
# 4 minutes. Let them find the two sums: the last column adds up to 0, and so does the last column times the normalised numbers (-1.4, -0.2,
# 0.2, 1.4). Autograd says the same numbers. "Mean" is a bar in the formula: over all m numbers of the channel.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## And with one picture alone?
#
# A single number is its own mean: $x - \mu = 0$, and nothing is left. And with many numbers, too, the answer to a picture should not depend
# on its neighbours. So batch norm **remembers**: with each batch of the training, its running mean and variance move a little (the
# *momentum*, 0.1) towards those of the batch.
#
# - **training mode:** the numbers of this batch; what is remembered moves;
# - **evaluation mode**, `model.eval()`: what is remembered; nothing moves.

# %%
try:
    torch.nn.BatchNorm2d(1)(torch.ones(1, 1, 1, 1))
except ValueError as error:
    print("torch refuses one number:", str(error).split(",")[0])

# %% tags=["widget"] slideshow={"slide_type": "subslide"}
batchnorm.statistics(seed=SEED)

# %% [markdown]
# Let **batches** go by. Then batches of one picture; then momentum 1. When could what is remembered be far from the truth?

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Two modes, one bug
#
# A network that can name the largest shape in a scene, one of six, has four batch norms. It was trained in batches of many scenes. In
# evaluation it is right on nearly every new scene. Now somebody uses it, and forgets one line.

# %% tags=["predict"]
predict(
    "09.p2",
    "Somebody forgets eval(), and shows the network new scenes, one at a time. Of 100, how many answers are right?",
    truth=lambda: round(100 * forgotten[1]),
)

# %% slideshow={"slide_type": "subslide"}
net = models.load("shapesnet")
scenes = shapes.scenes(60 if FAST else 120, seed=SEED + 300)


def share(model, size):
    """The share of right answers if the scenes come in batches of so many."""
    with torch.no_grad():
        answers = torch.cat([model(batch).argmax(dim=1) for batch in scenes.images.split(size)])
    return (answers == scenes.labels).float().mean().item()


forgotten = {size: share(models.load("shapesnet").train(), size) for size in (1, 2, 4, 16, 60)}
in_eval = share(net, 1)
fig, ax = plt.subplots(figsize=(9, 3.4), layout="constrained")
shares = {f"forgot eval(), {size} at a time": found for size, found in forgotten.items()}
shares["eval(), 1 at a time"] = in_eval
charts.bars({name: round(100 * found) for name, found in shares.items()}, ax=ax, title="percent right")
ax.set_xlim(0, 110)
show(fig, alt="Right answers. " + "; ".join(f"{name}: {found:.0%}" for name, found in shares.items()))
assert forgotten[1] < 0.5 < 0.9 < in_eval

# %% [markdown]
# One at a time, every scene is normalised by **itself**: what made it special is taken away, and all get the same answer. With large
# batches nobody notices. That is why this bug lives so long.

# %% [markdown] tags=["bug-hunt"] slideshow={"slide_type": "skip"}
# ### Bug hunt: how good is it now?
#
# "Every epoch I ask how good my network is. Since I ask, it learns worse, and the number depends on how many pictures I show at once."
# Gradients are off, as they should be. Find the fault, mend it, and leave the network as it came.

# %% tags=["bug-hunt"] slideshow={"slide_type": "skip"}
def share_right(model, images, labels):
    """The share of right answers, in the middle of a training: a network, (N, C, H, W), (N,) -> number."""
    with torch.no_grad():
        return (model(images).argmax(dim=1) == labels).float().mean().item()


asked = models.load("shapesnet").train()
before = asked.bn1.running_mean.clone()
shares = [share_right(asked, scenes.images[:n], scenes.labels[:n]) for n in (1, 2, 40)]
print("found:", [round(share, 2) for share in shares], "for 1, 2 and 40 pictures")
print("found: what is remembered has moved:", not torch.equal(asked.bn1.running_mean, before))

# %% tags=["solution"] slideshow={"slide_type": "skip"}
def share_right(model, images, labels):
    """The share of right answers, in the middle of a training: a network, (N, C, H, W), (N,) -> number."""
    was = model.training
    model.eval()  # no_grad() switches off the gradients; batch norm and dropout ask for the mode
    with torch.no_grad():
        right = (model(images).argmax(dim=1) == labels).float().mean().item()
    model.train(was)  # or the training would go on in evaluation mode
    return right

# %% tags=["check"] slideshow={"slide_type": "skip"}
share_right = check("09.bug", share_right)

# %% [markdown] tags=["bug-hunt"] slideshow={"slide_type": "skip"}
# ### Bug hunt: a line from another framework
#
# These two lines ran for years in a program whose pictures are (N, H, W, C). Here they raise no error, and the loss even falls. Find the
# fault, mend it, and run the check.

# %% tags=["bug-hunt"] slideshow={"slide_type": "skip"}
def standardise(x):
    """Each channel with mean 0 and variance 1 over the batch: (N, C, H, W) -> (N, C, H, W)."""
    mean, var = x.mean(dim=(0, 1, 2), keepdim=True), x.var(dim=(0, 1, 2), unbiased=False, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt()


two = torch.tensor([[0.0, 1.0], [10.0, 11.0]]).view(1, 2, 1, 2)  # one picture of two channels, two pixels each
means = standardise(two).mean(dim=(0, 2, 3))
print("found: means of the two channels", [round(mean, 2) for mean in means.tolist()], "and both should be 0")

# %% tags=["solution"] slideshow={"slide_type": "skip"}
def standardise(x):
    """Each channel with mean 0 and variance 1 over the batch: (N, C, H, W) -> (N, C, H, W)."""
    axes = (0, 2, 3)  # all but the channels, which stand second here
    mean, var = x.mean(dim=axes, keepdim=True), x.var(dim=axes, unbiased=False, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt()

# %% tags=["check"] slideshow={"slide_type": "skip"}
standardise = check("09.bug2", standardise)

# %% slideshow={"slide_type": "skip"}
quiz("09.q1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## In the end it is gone
#
# In evaluation, $\mu$ and $\sigma$ are fixed numbers. Then batch norm multiplies and adds. So does the convolution before it. **Two such
# layers are one:**
#
# $$W' = W \cdot \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} \qquad\qquad b' = (b - \mu) \cdot \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} + \beta$$
#
# This is what a telephone runs: the batch norm helped to learn, and costs nothing afterwards.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 09.3: fold it
#
# The convolution has no bias. `scale` and `shift` are $\gamma$ and $\beta$, `eps` is `1e-5`. Return the weight and the bias of the one
# convolution that does both.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def fold(weight, scale, shift, mean, var):
    """(F, C, K, K) and four times (F,) -> a weight and a bias that do both: (F, C, K, K), (F,)."""
    # BEGIN SOLUTION: the factor of each filter; the weight times it, and what becomes of the mean
    # hint: One factor for each filter. The weight is multiplied by it; the mean is, too, and taken away.
    # hint: steep = scale / (var + 1e-5).sqrt() has the shape (F,). steep.view(-1, 1, 1, 1) fits to the weight.
    # hint: return weight * steep.view(-1, 1, 1, 1), -mean * steep + shift
    steep = scale / (var + 1e-5).sqrt()  # (F,)
    return weight * steep.view(-1, 1, 1, 1), -mean * steep + shift
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
fold = check("09.3", fold)

# %% slideshow={"slide_type": "skip"}
hint("09.3")

# %%
folded = models.load("shapesnet")
for k in range(1, 5):  # yours, if it is right: four times
    conv, bn = folded.get_submodule(f"conv{k}"), folded.get_submodule(f"bn{k}")
    conv.weight.data, bias = fold(conv.weight.data, bn.weight.data, bn.bias.data, bn.running_mean, bn.running_var)
    conv.bias = torch.nn.Parameter(bias)
    setattr(folded, f"bn{k}", torch.nn.Identity())
with torch.no_grad():
    apart = (net(scenes.images[:40]) - folded(scenes.images[:40])).abs().max().item()
assert apart < 1e-3
print(f"40 scenes, with and without its four batch norms: the logits differ by at most {apart:.0e}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does it buy? Larger steps
#
# The same net of 9 layers, trained at seven learning rates, with batch norm and without. The rate is 10 to the **exponent**. Which rates
# work for the one, and which for the other?

# %% tags=["widget"]
batchnorm.rates()

# %% slideshow={"slide_type": "skip"}
known = training.SWEEPS["rates"].grid["learning_rate"]
found = {norm: {rate: training.runs("rates", norm=norm, learning_rate=rate) for rate in known} for norm in (True, False)}
good = {norm: [rate for rate, runs in row.items() if not runs.diverged and runs.end("val_accuracy") > 0.9]
        for norm, row in found.items()}
print("nine of ten right after 8 epochs: with batch norm at the rates", *good[True])
print("                                  without it at", *(good[False] or ["none of them"]))
assert len(good[True]) >= 3 and not good[False]  # of the shipped trainings
assert sum(runs.diverged for runs in found[False].values()) > sum(runs.diverged for runs in found[True].values()) == 0

# %% [markdown] slideshow={"slide_type": "subslide"}
# **With batch norm** four rates in a row work, and the best are large: larger steps, fewer epochs. **Without it** none works within eight
# epochs. Small rates are too slow, and large ones throw the weights away; the best is in between, and not good.
#
# Given time, such a net learns, too. Why batch norm helps so much is still discussed: it does *not* seem to be that the layers see steadier
# inputs, as its authors thought. The loss becomes smoother (Santurkar et al. 2018).

# %% [markdown] tags=["teacher"]
# 5 minutes. Without batch norm the best rate gives about a third right, and at 1 one of three trainings diverges: it is left out of the
# curves, and the line below says so. With batch norm four rates in a row are good, the largest thirty times the smallest. This is no tale of
# good and bad: 8 epochs, 1000 digits, one kind of net. At rate 0.03 and with 30 epochs the plain net learned, too, when we tried. Why does
# it help? The paper says "internal covariate shift". Santurkar et al. 2018 put such a shift back in, behind the batch norm, and it helped
# all the same.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Train the two yourself
#
# A short one, of a few seconds: learning rate 0.1, two epochs. Guess first: what will the net without batch norm have learned? And the
# one with it?

# %% slideshow={"slide_type": "subslide"}
size = {"net": "deep", "depth": 9, "digits": 200 if FAST else 1000}
options = {"optimiser": "sgd", "learning_rate": 0.1, "epochs": 1 if FAST else 2, "seed": SEED}
records = {name: training.run_one(training.Settings(norm=norm, **size, **options))
           for name, norm in (("with batch norm", True), ("without", False))}
Table(["net of 9 layers", "loss on the training digits", "right on 400 other digits"],
      [[name, rows[-1].loss if rows else None, f"{rows[-1].val_accuracy:.0%}" if rows else "diverged"]
       for name, rows in records.items()],
      "Yours, of a few seconds; a guess is 10% right, and costs log 10 = 2.30")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Deeper, again
#
# The nets on the first slide **had** batch norm. The deeper ones learned worse all the same: that is called **degradation**. Here is the
# way out (He et al. 2016). Do not ask two layers for the whole answer. Ask them for the **difference** to what came in:
#
# $$y = \mathrm{ReLU}(x + F(x))$$
#
# If a block has nothing to add, $F = 0$ does it: it copies. And on the way back each block multiplies by $1 + F'$, wherever its ReLU is
# open. All the $F'$ may be tiny: with the **1** beside them, their product is not.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 09.4: a residual block
#
# `f` is the row of layers inside the block: a function from a tensor to one of the same shape.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def block(x, f):
    """A residual block: (N, C, H, W), a function -> (N, C, H, W)."""
    # BEGIN SOLUTION: the ReLU of x plus f(x)
    # hint: The formula above is the line that is wanted. What stands inside the ReLU?
    # hint: First the sum of what came in and what the layers add; the ReLU comes last.
    # hint: return (x + f(x)).relu()
    return (x + f(x)).relu()
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
block = check("09.4", block)

# %% slideshow={"slide_type": "skip"}
hint("09.4")

# %% slideshow={"slide_type": "subslide"}
def input_gradients(shortcut, n=20):
    """How large the slope is at each of n blocks, from the first to the last; their weights are small."""
    seeded = torch.Generator().manual_seed(SEED)
    steps = [torch.rand(32, 64, 1, 1, generator=seeded).requires_grad_()]
    for _ in range(n):
        weight = 0.2 * torch.randn(64, 64, 1, 1, generator=seeded) / 8

        def inside(x, weight=weight):
            return torch.conv2d(x, weight)

        steps.append(block(steps[-1], inside) if shortcut else inside(steps[-1]).relu())  # your block, if it is right
    found = torch.autograd.grad(steps[-1].sum(), steps)
    return [gradient.square().mean().sqrt().item() for gradient in found]


arrives = {"without": input_gradients(False), "with shortcuts": input_gradients(True)}
fig, ax = plt.subplots(figsize=(9, 3.2), layout="constrained")
title = "the slope that arrives; weights seven times too small"
charts.lines(arrives, ax=ax, log=True, title=title, xlabel="block", ylabel="size of the slope")
show(fig, alt="; ".join(f"{name}: {found[0]:.1e} arrives at the first of 20 blocks" for name, found in arrives.items()))
assert arrives["with shortcuts"][0] > 0.1 > 1e-6 > arrives["without"][0]

# %% [markdown]
# Twenty blocks of one layer each, and weights that are far too small. Read it from the right, where the slope starts. Without shortcuts
# every block shrinks it, and nothing arrives. With them it arrives whole: each block only adds a little.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The first slide again, with shortcuts
#
# Shortcuts have no weights. So these nets have exactly as many as the plain ones.

# %% tags=["predict"]
predict(
    "09.p3",
    "Now nets of 5, 11, 21 and 41 layers with shortcuts, the rest as on the first slide. Which has the lowest loss on "
    "the training digits?",
    options=[f"{depth} layers" for depth in depths],
    truth=lambda: f"{min(depths, key=lambda depth: residual[depth].end('loss'))} layers",
)

# %% slideshow={"slide_type": "subslide"}
residual = {depth: training.runs("depth", residual=True, depth=depth) for depth in depths}
kinds = {"plain": plain, "residual": residual}
losses = {kind: [found.end("loss") for found in row.values()] for kind, row in kinds.items()}
fig, axes = plt.subplots(1, 2, figsize=(12, 3.7), layout="constrained")
charts.lines({kind: row[41].curve("loss") for kind, row in kinds.items()}, x=range(1, 9), ax=axes[0],
             title="41 layers, loss while they learn", xlabel="epoch", ylabel="loss on the training digits")
charts.lines(losses, x=depths, ax=axes[1],
             title="all depths, loss at the end", xlabel="layers", ylabel="loss on the training digits")
for row, colour in zip(kinds.values(), charts.COLOURS, strict=False):
    for depth, found in row.items():  # each training a dot: seeds differ
        axes[1].plot([depth] * len(found.finished), found.ends("loss"), ".", color=colour)
axes[1].set_xticks(depths)
show(fig, alt="Training loss at the end. " + "; ".join(
    f"{kind}: " + ", ".join(f"{found.end('loss'):.2f} with {depth} layers" for depth, found in row.items())
    for kind, row in kinds.items()))
assert losses["plain"][1:] == sorted(losses["plain"][1:])  # from 11 layers on, more layers are worse
assert losses["residual"] == sorted(losses["residual"], reverse=True)  # and here better

# %% [markdown]
# **Plain:** from 11 layers on, each doubling makes it worse. **Residual:** each doubling makes it better. And all this on the digits that
# they learn from: it never was over-fitting.
#
# (Five layers are too few for eight epochs, with shortcuts or without. Each dot is one training.)

# %% [markdown] tags=["teacher"]
# 4 minutes. He et al. 2016 saw it with 20 and 56 layers on CIFAR-10, their Figure 1; this is our own small measurement, and every net in it
# has batch norm. On 400 other digits the order is the same. Why do plain nets with batch norm fail? One reason was on the first widget, and
# comes again on the next slide: the slope grows on the way back, by about 1.45 in the mean square for each layer. It is not the only one; the
# question is still open.

# %% slideshow={"slide_type": "skip"}
quiz("09.q2")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The flight recorder
#
# It notes a few numbers of every layer while a net trains. First, three nets of 41 layers before their first step: how large is the
# **gradient** in each layer?

# %%
def gradients(norm, residual):
    """The size of the gradient in each layer of an untrained deep net, for 32 digits."""
    setting = training.Settings(net="deep", depth=41, norm=norm, residual=residual, seed=SEED)
    net, train = training.network(setting).train(), digits.load("train")
    with FlightRecorder(net, *live_flight_recorder.rectifiers(net)) as recorder:
        torch.nn.functional.cross_entropy(net(train.images[:32]), train.labels[:32]).backward()
    return [recorder.last(name).gradient for name in recorder.names]


noted = {"He alone": gradients(norm=False, residual=False), "batch norm": gradients(norm=True, residual=False),
         "and shortcuts": gradients(norm=True, residual=True)}
fig, ax = plt.subplots(figsize=(9, 3.2), layout="constrained")
title = "the gradient on its way back: 41 layers, untrained"
charts.lines(noted, x=range(1, 42), ax=ax, log=True, title=title, xlabel="layer", ylabel="size of the gradient")
show(fig, alt="Size of the gradient. " + "; ".join(
    f"{name}: {found[0]:.0e} in the first, {found[-1]:.0e} in the last layer" for name, found in noted.items()))
grows = {name: found[0] / found[-1] for name, found in noted.items()}
assert grows["batch norm"] > 300 > 100 > max(grows["and shortcuts"], grows["He alone"])

# %% [markdown]
# Read it from the right again. **He alone:** nearly level; its trouble was another one. **Batch norm:** the first layer gets about a
# thousand times what the last one gets. No learning rate is right for both. **And shortcuts:** by far not so much.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Now in flight
#
# Train a deep net, and watch every layer. Dashed: at the start. A **dead** unit is zero for every picture. Can you make 41 layers learn?
# Change **one thing at a time**.

# %% tags=["widget"]
live_flight_recorder.live(epochs=1 if FAST else 4, seed=SEED)

# %% [markdown] tags=["teacher"]
# 10 minutes; an epoch of 21 layers takes some seconds, one of 41 about twice as long. Press Stop when all is said. Try in this order:
#
# - plain, as it stands: at the start the sizes are fine, and it learns nothing. Sizes are not all (the slide with the cosines).
# - gain 0.5, then 2: signal and gradient shrink, or grow, in a straight line on these axes: a product.
# - batch norm, gain 0.25: the signal does not care for the gain any more. It learns.
# - batch norm, 41 layers: the gradient at the first layer is a thousand times that at the last. It learns badly.
# - batch norm and shortcuts, 41 layers: nearly flat, and after four epochs nearly all test digits are right.
# - shortcuts alone: the signal grows, since every block adds; with 41 layers the loss is soon no number. They need each other.

# %% slideshow={"slide_type": "skip"}
progress()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three things to keep
#
# 1. Depth multiplies. First weights of variance 2 / n keep signal and gradient, at the start.
# 2. Batch norm keeps the signal all the time, with the numbers of the batch. In use it needs those it remembers: `eval()`.
# 3. Even so, a deep plain net fails on its own training set. Shortcuts let layers add, instead of passing everything on.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## New words
#
# | word | meaning |
# |---|---|
# | vanishing gradient | a product of many factors below 1 |
# | exploding gradient | a product of many factors above 1 |
# | He's rule | first weights of variance 2 / inputs, for layers with ReLU |
# | batch norm | each channel gets mean 0 and variance 1 over the batch, then a learned scale and shift |
# | running mean and variance | what batch norm remembers of the batches it has seen |
# | momentum (of batch norm) | how far what it remembers moves with each batch |
# | training mode | batch norm uses the numbers of the batch, and dropout drops |
# | evaluation mode | batch norm uses what it remembers, and nothing is dropped |
# | to fold | to make one layer of a convolution and its batch norm |
# | shortcut | the input is added to what the layers of a block found |
# | residual block | layers with a shortcut around them |
# | degradation | deeper plain nets have a higher training loss |
# | dead unit | a unit that is zero for every picture |
#
# ## References
#
# - S. Hochreiter: *Untersuchungen zu dynamischen neuronalen Netzen*, diploma thesis, TU München 1991 (vanishing gradients).
# - Y. Bengio, P. Simard, P. Frasconi: *Learning long-term dependencies with gradient descent is difficult*, IEEE Transactions on Neural
#   Networks 1994 (the same).
# - X. Glorot, Y. Bengio: *Understanding the difficulty of training deep feedforward neural networks*, AISTATS 2010.
# - K. He et al.: *Delving deep into rectifiers*, ICCV 2015, arXiv:1502.01852 (first weights).
# - S. Ioffe, C. Szegedy: *Batch normalization*, ICML 2015, arXiv:1502.03167.
# - K. He et al.: *Deep residual learning for image recognition*, CVPR 2016, arXiv:1512.03385.
# - S. Santurkar et al.: *How does batch normalization help optimization?*, NeurIPS 2018, arXiv:1805.11604 (not by steadier inputs).
# - G. Yang et al.: *A mean field theory of batch normalization*, ICLR 2019, arXiv:1902.08129 (gradients that explode).
