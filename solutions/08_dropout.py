# %% [markdown] slideshow={"slide_type": "slide"}
# # 08 · Dropout
#
# **Why does it fit the training set and fail elsewhere, and what helps?**
#
# You will be able to
#
# - see over-fitting in two curves, and stop in time;
# - write dropout, forward and backward, and say what it does to mean and variance;
# - say why the accuracy on the training set may lie *below* that on the validation set;
# - ask a network how sure it is, and check whether its answer can be trusted.
#
# **Minutes:** 45 for the lecture, 30 for the exercises.
# **Needs:** lectures 00 to 02. No network.

# %%
import matplotlib.pyplot as plt
import torch

from cnnlab.course import TODO, check, hint, predict, progress, quiz
from cnnlab.data import augment, digits, photos, shapes
from cnnlab.drawing import Table, charts, images, show
from cnnlab.methods import calibration, mc_dropout
from cnnlab.nets import deep, models, sweeps, train
from cnnlab.widgets import dropout as widgets
from cnnlab.widgets import overfitting

# %% tags=["parameters"]
FAST = False
SEED = 0
FEW = 300
WRONG = 0.2

# %% slideshow={"slide_type": "slide"}
plain, validate = sweeps.split(FEW, SEED)  # few digits to learn from, and 400 others to judge by
taught = sweeps.mislabelled(plain, WRONG, SEED)  # some of the labels are wrong, on purpose
test = digits.load("test")
options = {"epochs": 15 if FAST else 60, "batch": 32, "rate": 1e-3, "keep": "last", "seed": SEED}
net = sweeps.network(sweeps.Settings(seed=SEED)).eval()
history = train.fit(net, taught, validate, **options)
epochs = range(1, len(history.loss) + 1)
fig, axes = plt.subplots(1, 2, figsize=(11.5, 3.3), layout="constrained")
charts.lines({"training": history.accuracy, "validation": history.val_accuracy}, x=epochs, ax=axes[0], title="share right", xlabel="epoch")
charts.lines({"training": history.loss, "validation": history.val_loss}, x=epochs, ax=axes[1], title="loss", xlabel="epoch")
peak = max(history.val_accuracy)
assert FAST or (history.accuracy[-1] > 0.9 and peak > history.val_accuracy[-1] + 0.04)
show(fig, alt=f"Training and validation over {len(epochs)} epochs. Training rises to {history.accuracy[-1]:.0%} right; validation rises to {peak:.0%}, "
              f"then falls to {history.val_accuracy[-1]:.0%}, and its loss rises again.")

# %% [markdown]
# A network of dense layers (269 322 weights) learns 300 digits. On the digits it learns from, it gets better and better. On others it
# gets better, and then **worse**. This is **over-fitting**.
#
# The digits are those that come with scikit-learn. And here **a fifth of the labels is wrong, on purpose**.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What did it learn in the end?

# %%
wrong = (taught.labels != plain.labels).nonzero()[:, 0]
show(images.row(list(taught.images[wrong[:4]]), titles=[f"label: {k}" for k in taught.labels[wrong[:4]].tolist()]),
     alt="Four digits of the training set with wrong labels: " + ", ".join(
         f"a {one} labelled {other}" for one, other in zip(plain.labels[wrong[:4]].tolist(), taught.labels[wrong[:4]].tolist(), strict=True)))

# %% [markdown]
# Four of the wrong labels. No rule leads from these pictures to these labels. Whoever repeats them has learned them by heart.

# %% tags=["predict"] slideshow={"slide_type": "subslide"}
predict(
    "08.p1",
    "The training is over. We show the network the mislabelled digits again. How many per cent of the wrong labels does it repeat?",
    truth=lambda: round(100 * repeated["by heart"]),
)

# %% slideshow={"slide_type": "fragment"}
with torch.no_grad():
    says = net(taught.images[wrong]).argmax(dim=1)
repeated = {"by heart": (says == taught.labels[wrong]).float().mean().item(), "right after all": (says == plain.labels[wrong]).float().mean().item()}
known = train.evaluate(net, plain._replace(images=plain.images[taught.labels == plain.labels], labels=plain.labels[taught.labels == plain.labels]))[1]
new = train.evaluate(net, test)[1]
assert FAST or repeated["by heart"] > 0.7
fig, ax = plt.subplots(figsize=(10, 2.9), layout="constrained")
charts.bars({"wrong labels, repeated": repeated["by heart"], "wrong labels, and yet the right digit": repeated["right after all"],
             "right labels, right": known, "test digits, right": new}, ax=ax, title="what the network says in the end")
ax.set_xlim(0, 1.2)
show(fig, alt=f"Of the wrong labels it repeats {repeated['by heart']:.0%}; of the rightly labelled digits {known:.0%} are right, of new digits {new:.0%}.")

# %% [markdown] tags=["teacher"]
# 5 minutes. Take guesses before the bars. The digits with wrong labels cost it: to give each its own answer, the network must cut small
# islands into its map, and new digits fall on these islands. Zhang et al. 2017 did the same with a million photos and random labels.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Watch it happen
#
# Press **Train**. Then choose a remedy, and train again: the last validation curve stays, as *before*.

# %% tags=["widget"]
overfitting.live(digits=FEW, wrong=WRONG, seed=SEED)

# %% [markdown] tags=["teacher"]
# 6 minutes. First "nothing", then one remedy at a time; ask before each: which of the two curves will move, and which way? Set the wrong
# labels to 0 %: the fall almost vanishes. 1000 digits: it comes later. Two such trainings cannot run at the same time.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## First remedy: stop early
#
# Look at the validation loss after each epoch. Wait for a new lowest value, but not for ever: after `patience` epochs in a row without
# one, **stop**, and take the weights of the best epoch.
#
# The validation set judges. So it must not teach. And because it chose the epoch, the last word belongs to a third set: the **test
# set**.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 08.1: when to stop
#
# Go through the losses. Epochs count from 1. Stop as soon as `patience` epochs in a row have brought no new lowest loss. If this never
# happens, the last epoch is the end.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def stop_early(losses, patience):
    """A list of numbers, int -> (the last epoch that is trained, the epoch with the lowest loss until then)."""
    # BEGIN SOLUTION: the lowest loss so far and its epoch; stop when that is `patience` epochs ago
    # hint: Remember two things: the lowest loss so far, and in which epoch it was.
    # hint: for epoch, loss in enumerate(losses, 1): is it a new lowest? Then: how long ago was the best?
    # hint: if loss < lowest: lowest, best = loss, epoch; if epoch - best >= patience: return epoch, best; at the end return len(losses), best
    lowest, best = float("inf"), 0
    for epoch, loss in enumerate(losses, 1):
        if loss < lowest:
            lowest, best = loss, epoch
        if epoch - best >= patience:
            return epoch, best
    return len(losses), best
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
stop_early = check("08.1", stop_early)

# %% slideshow={"slide_type": "skip"}
hint("08.1")

# %% slideshow={"slide_type": "slide"}
last, best = stop_early(history.val_loss, 5)  # yours, if it is right
fig, ax = plt.subplots(figsize=(9, 3.4), layout="constrained")
charts.lines({"validation": history.val_loss}, x=epochs, ax=ax, title=f"patience 5: stop after epoch {last}, go back to epoch {best}", xlabel="epoch", ylabel="loss")
for place, said, side in ((best, "lowest ", "right"), (last, " stop", "left")):
    ax.axvline(place, color="0.4", linestyle=":")
    ax.text(place, max(history.val_loss), said, ha=side, va="top", fontsize=13)
show(fig, alt=f"The validation loss: lowest after epoch {best}, and {last - best} epochs later the training would have stopped.")
print(f"validation: {history.val_accuracy[best - 1]:.0%} right after epoch {best}, {history.val_accuracy[-1]:.0%} after epoch {len(epochs)}")

# %% [markdown]
# It costs nothing; it even saves time. But it cures nothing: it only ends the training before the harm is done. Can the network go on
# to learn, and *not* learn by heart?

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Second remedy: dropout
#
# In each step, each unit is silent with probability $p$, the **rate**. Other units in each step, other ones for each picture.
#
# - A unit cannot lean on one certain other unit: that one may be silent. Units that only work together, **co-adapted**, get rare.
# - With $n$ units there are $2^n$ ways to be silent: $2^n$ thinned networks, which share their weights. Each is trained a
#   little.
#
# When the network is used, all units speak. Then twice as many would arrive as in training, at $p = 0.5$. So in training, what stays is divided by
# $1-p$: **inverted dropout**.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 08.2: dropout, forward
#
# `noise` holds a random number from 0 to 1 for each unit. A unit stays if its number is **at least** the rate. What stays is divided by
# 1 - rate.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def dropout(x, noise, rate):
    """Any shape, the same shape, number -> like x."""
    # BEGIN SOLUTION: zero where the noise is below the rate, the rest enlarged
    # hint: Two things happen to x: some of it becomes zero, all the rest gets larger.
    # hint: noise >= rate is a tensor of True and False; x times it sets to zero where it is False.
    # hint: return x * (noise >= rate) / (1 - rate)
    return x * (noise >= rate) / (1 - rate)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
dropout = check("08.2", dropout)

# %% slideshow={"slide_type": "skip"}
hint("08.2")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The mean stays, the variance does not
#
# A unit of size $x$ becomes $0$ with probability $p$, else $x/(1-p)$. Work it out:
#
# $$\mathrm{E} = x \qquad\qquad \mathrm{Var} = x^2\,\frac{p}{1-p}$$

# %%
seeded, rows = torch.Generator().manual_seed(SEED), []
for rate in (0.1, 0.5, 0.8):
    draws = dropout(torch.full((200_000,), 3.0), torch.rand(200_000, generator=seeded), rate)  # yours, if it is right
    rows.append([f"{rate}", draws.mean().item(), draws.var().item(), 9 * rate / (1 - rate)])
    assert abs(rows[-1][1] - 3) < 0.05 and abs(rows[-1][2] / rows[-1][3] - 1) < 0.05
Table(["rate", "mean of 200 000 draws", "their variance", "by the formula"], rows, "A unit of size 3 under dropout")

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 08.3: dropout, backward
#
# The gradient from above, `g`, and `kept`: which units stayed on the way forward. What was silent did nothing for the loss.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def dropout_backward(g, kept, rate):
    """The gradient above, True and False of the same shape, number -> the gradient below."""
    # BEGIN SOLUTION: the derivative of what dropout did to each unit, times g
    # hint: Forward, each unit was multiplied by a number: by 0, or by another one. Which is its derivative?
    # hint: The derivative of x * c is c. So the way back multiplies by the same numbers as the way forward.
    # hint: return g * kept / (1 - rate)
    return g * kept / (1 - rate)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
dropout_backward = check("08.3", dropout_backward)

# %% slideshow={"slide_type": "skip"}
hint("08.3")

# %% slideshow={"slide_type": "skip"}
leaf, noise = torch.randn(50, generator=seeded, requires_grad=True), torch.rand(50, generator=seeded)
(dropout(leaf, noise, 0.3) ** 3).sum().backward()  # torch goes back through yours …
above = 3 * dropout(leaf.detach(), noise, 0.3) ** 2
assert torch.allclose(leaf.grad, dropout_backward(above, noise >= 0.3, 0.3), atol=1e-4)  # … and finds what you wrote

# %% [markdown] tags=["bug-hunt"] slideshow={"slide_type": "skip"}
# ### Bug hunt: right at one half
#
# "With rate 0.5 everything worked, and the tests passed. With 0.2 the network learns badly." `kept` says which units stay. Find the
# fault, mend it, and run the check.

# %% tags=["bug-hunt"] slideshow={"slide_type": "skip"}
def drop(x, kept, rate):
    """Any shape, True and False of the same shape, number -> like x, dropped and enlarged."""
    return x * kept / rate


for share in (0.5, 0.2):
    stays = torch.rand(10_000, generator=torch.Generator().manual_seed(0)) >= share
    print(f"found: rate {share}: the mean of ones is {drop(torch.ones(10_000), stays, share).mean():.2f}")

# %% tags=["solution"] slideshow={"slide_type": "skip"}
def drop(x, kept, rate):
    """Any shape, True and False of the same shape, number -> like x, dropped and enlarged."""
    return x * kept / (1 - rate)  # what stays has the share 1 - rate; at 0.5 both are the same

# %% tags=["check"] slideshow={"slide_type": "skip"}
drop = check("08.bug", drop)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## All thinned networks at once
#
# Eight hidden units: $2^8 = 256$ thinned networks. So few that we can ask every one. The test digit about which they differ most:

# %%
torch.manual_seed(SEED)
small = deep.dense((8,), dropout=0.5).eval()
train.fit(small, plain, **options)
masks = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 8)  # (256, 8): every way to be silent
with torch.no_grad():
    hidden = small.relu1(small.dense1(small.flatten(small.norm(test.images))))  # (355, 8)
    thinned, whole = small.out(hidden[:, None] * masks / 0.5), small.out(hidden)  # (355, 256, 10), (355, 10)
assert torch.allclose(thinned.mean(dim=1), whole, atol=1e-3)  # exactly: the last layer is linear
chances = thinned.softmax(dim=2)[torch.arange(len(test.labels)), :, test.labels]  # (355, 256): of the right class
k = int(chances.std(dim=1).argmax())
fig, ax = plt.subplots(figsize=(9, 3.1), layout="constrained")
right, all_speak = int(test.labels[k]), whole[k].softmax(dim=0)[test.labels[k]]
ax.hist(chances[k], bins=20, range=(0, 1), color=charts.COLOURS[0])
ax.axvline(all_speak, color=charts.COLOURS[1], linewidth=3)
ax.set_xlabel(f"probability of the right class, {right}; the line: all units speak", fontsize=13)
ax.set_ylabel("networks", fontsize=13)
show(fig, alt=f"A histogram of 256 probabilities of the right class, from 0 to 1; with all units it is {all_speak:.2f}.")

# %% [markdown]
# Some are sure of it, some see another digit. But the **mean of their logits is the logit with all units**, to the last digit: behind the dropout stands one linear layer.
# (In a deeper network this holds only about.) So one pass asks all $2^n$ at once.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Move the rate
#
# The encoder of the course has learned with dropout in its code of 256 units. Which units fall silent, and what becomes of the answer?

# %% tags=["widget"]
widgets.units()

# %% [markdown] tags=["teacher"]
# 4 minutes. Start at 0: one bar. 0.5: the answer hardly moves, since it was trained so. 0.9: it breaks. Compare the deviation with the formula:
# the sum of (w x)^2 over the units, times p / (1 - p). Then another draw: other units, nearly the same answer.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Are the units less dependent on each other?
#
# The same digits, the same wrong labels, once with dropout. Then we take away units of the second layer, at random, and test.

# %%
thick = sweeps.network(sweeps.Settings(remedy="dropout", seed=SEED)).eval()
kept_history = train.fit(thick, taught, validate, **options)
nets, shares, fallen = {"trained without": net, "trained with dropout": thick}, (0.0, 0.25, 0.5, 0.75, 0.9), {}
with torch.no_grad():
    for name, one in nets.items():
        below = one[: list(dict(one.named_children())).index("relu2") + 1]
        units = below(test.images)  # (355, 256)
        fallen[name] = [sum((one.out(units * (torch.rand(256, generator=seeded) >= share) / (1 - share)).argmax(dim=1) == test.labels).float().mean().item()
                            for _ in range(20)) / 20 for share in shares]
fig, ax = plt.subplots(figsize=(9, 3.4), layout="constrained")
charts.lines(fallen, x=shares, ax=ax, title="test digits right", xlabel="share of the units taken away")
ax.set_xlim(0, 1.25)
assert FAST or fallen["trained with dropout"][3] > fallen["trained without"][3]
show(fig, alt="; ".join(f"{name}: {values[0]:.0%} with all units, {values[2]:.0%} with half, {values[4]:.0%} with a tenth" for name, values in fallen.items()))

# %% [markdown]
# Without dropout, each missing unit is missed. With dropout, half of the layer may go. This is what *no co-adaptation* means, measured.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Third remedy: other views of the same digit
#
# A moved 3 is a 3. So show each digit anew in each epoch: **moved** (translation), **turned** (rotation), **larger or smaller** (scaling). This is
# **data augmentation**. Nothing is dropped; there is simply more to learn from.

# %%
ways = {"as it is": {}, "moved": {"shift": 3}, "turned": {"rotate": 25}, "scaled": {"scale": (0.8, 1.2)},
        "all three": {"shift": 2, "rotate": 20, "scale": (0.8, 1.2)}}
views = [augment.move(**way)(plain.images[:1], torch.Generator().manual_seed(SEED + 5)) for way in ways.values()]
show(images.row(views, titles=list(ways)), alt="One digit five times: as it is, moved, turned, scaled, and all three at once.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What helps? Measured
#
# Fifteen trainings, run with papermill and shipped with the course: each remedy with three seeds. The fourth remedy, **weight decay**,
# pulls every weight to zero a little in each step.

# %% tags=["predict"]
predict(
    "08.p2",
    "300 digits, a fifth with a wrong label, 60 epochs. Which of these four helps least?",
    options=["dropout", "augmentation", "weight decay", "early stopping"],
    truth="weight decay",
)

# %% slideshow={"slide_type": "subslide"}
runs = sweeps.load("remedies")
over_time = {}
for remedy in sweeps.REMEDIES:
    seeds = [[row for row in runs if row["remedy"] == remedy and row["seed"] == seed] for seed in (0, 1, 2)]
    kept = [min(mine, key=lambda row: row["val_loss"]) for mine in seeds]  # with early stopping this is what stays
    means = [sum((mine[k] if k < len(mine) else best)["val_accuracy"] for mine, best in zip(seeds, kept, strict=True)) / 3 for k in range(60)]
    over_time[remedy] = [value if value > 0.75 else float("nan") for value in means]  # the steep beginning is not shown
fig, ax = plt.subplots(figsize=(10, 4), layout="constrained")
charts.lines(over_time, x=range(1, 61), ax=ax, title="validation digits right, mean of three seeds", xlabel="epoch")
ax.set_ylim(0.75, 0.96)
ax.set_xlim(0, 80)
show(fig, alt="; ".join(f"{remedy}: at its best {max(v for v in values if v == v):.0%}" for remedy, values in over_time.items()))

# %% slideshow={"slide_type": "subslide"}
rows = []
for remedy in sweeps.REMEDIES:
    ends = {row["seed"]: row for row in runs if row["remedy"] == remedy}  # the last row of each seed
    tested = sorted(row["test_accuracy"] for row in ends.values())
    mean = {key: sum(row[key] for row in ends.values()) / 3 for key in ("accuracy", "val_accuracy", "test_accuracy")}
    rows.append([remedy, *(f"{mean[key]:.0%}" for key in ("accuracy", "val_accuracy", "test_accuracy")), f"{tested[0]:.0%} to {tested[-1]:.0%}",
                 "–".join(str(row["epoch"]) for row in (min(ends.values(), key=lambda r: r["epoch"]), max(ends.values(), key=lambda r: r["epoch"])))])
assert float(rows[2][3][:-1]) > float(rows[0][3][:-1])
Table(["remedy", "training, as seen", "validation", "test", "test, by seed", "epochs"], rows, "300 digits, a fifth mislabelled. Training and validation: the last epoch. Test: the weights that were kept")

# %% [markdown]
# Augmentation and dropout help most; which of them is better, three seeds cannot tell. Early stopping comes near at a third of the time. Weight decay
# of this strength helps little. Each remedy has a strength to be chosen. And they can be combined.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How much dropout?
#
# Too little changes nothing. Too much leaves too few units to learn with. Between lies a wide valley.

# %% tags=["widget"]
widgets.rates()

# %% [markdown] tags=["teacher"]
# 4 minutes. Let the room find the best rate by the validation curve. The best is a little above one half here, with many wrong labels and wide layers. In
# convolutions one takes less (0.25 in the encoder): neighbouring pixels tell the same.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Validation above training: is that possible?
#
# In the table: with augmentation, 77 % or so in training, and far more in validation. Did it learn better what it never saw?
#
# Ask **what was measured**. Here is a training with all labels right, and augmentation.

# %%
turned = augment.move(shift=2, rotate=10, scale=(0.9, 1.1))
fresh = sweeps.network(sweeps.Settings(seed=SEED)).eval()
seen = train.fit(fresh, plain, validate, **{**options, "epochs": 8 if FAST else 20}, augment=turned)
alike = train.evaluate(fresh, plain)[1]
assert alike > seen.accuracy[-1]
Table(["measured on", "how", "right"],
      [["training set", "as it was seen: turned and moved, while it learned", f"{seen.accuracy[-1]:.1%}"],
       ["validation set", "plain, after the epoch", f"{seen.val_accuracy[-1]:.1%}"],
       ["training set", "plain, after the epoch", f"{alike:.1%}"]], "The same network, the same epoch")

# %% [markdown]
# The training set was measured on **harder pictures**, and on a network that was still learning during the epoch. (With dropout: on thinned networks.
# With wrong labels: on labels nobody should get right.) Measured alike, the order is the usual one.

# %% slideshow={"slide_type": "skip"}
quiz("08.q1")

# %% slideshow={"slide_type": "skip"}
quiz("08.q3")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Leave dropout on, and ask again
#
# A network always answers, even to noise. How sure is it? **MC dropout** (Gal & Ghahramani 2016): leave dropout on while testing, and ask $S$ times. Each
# answer $p_s$ comes from another thinned network.
#
# - **Predictive mean** $\bar p = \frac1S\sum_s p_s$, and the **variance** about it.
# - **Predictive entropy** $H(\bar p)$, where $H(p) = -\sum_k p_k \log p_k$: all doubt, from 0 to $\log 10 = 2.3$.
# - **Mutual information** $H(\bar p) - \frac1S\sum_s H(p_s)$: how much the answers *disagree*. This doubt lies in the network; the rest lies in the picture.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 08.4: mean and variance
#
# `answers` holds S answers, with K probabilities each. For each class: the mean over the answers, and the mean of the squared distances from it.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def mean_and_variance(answers):
    """(S, K) -> the mean (K,) and the variance (K,), divided by S."""
    # BEGIN SOLUTION: the mean over the answers, and the mean squared distance from it
    # hint: Both go over the answers, so the classes stay: two tensors of shape (K,).
    # hint: mean = answers.mean(dim=0). The distances are answers - mean, again (S, K).
    # hint: return mean, ((answers - mean) ** 2).mean(dim=0)
    mean = answers.mean(dim=0)
    return mean, ((answers - mean) ** 2).mean(dim=0)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
mean_and_variance = check("08.4", mean_and_variance)

# %% slideshow={"slide_type": "skip"}
hint("08.4")

# %% slideshow={"slide_type": "slide"}
model = models.load("encoder")  # its dropout layers: drop1, drop2, drop3
clear = test.images[(test.labels == 7).nonzero()[0]]
photo = photos.crops(size=28, n=1, seed=SEED).images.mean(dim=1, keepdim=True)
asked = {"clear": clear, "turned by 30 degrees": widgets.rotate(clear, 30), "a piece of a photo": photo}
answers = torch.stack(list(mc_dropout.answers(model, torch.cat(list(asked.values())), samples=100, seed=SEED)))  # (100, 3, 10)
mean, variance = mean_and_variance(answers[:, 1])  # yours, if it is right
found = mc_dropout.summary(answers)
assert torch.allclose(mean, found.mean[1], atol=1e-4) and torch.allclose(variance, found.variance[1], atol=1e-4)
fig, axes = plt.subplots(2, 3, figsize=(11, 4.8), layout="constrained", height_ratios=(1, 1))
for k, (name, picture) in enumerate(asked.items()):
    images.picture(picture, ax=axes[0, k], title=name)
    top = int(found.mean[k].argmax())
    axes[1, k].hist(answers[:, k, top], bins=20, range=(0, 1), color=charts.COLOURS[0])
    axes[1, k].set_xlabel(f"probability of {top}", fontsize=13)
axes[1, 0].set_ylabel("answers", fontsize=13)
show(fig, alt="; ".join(f"{name}: probability of {int(found.mean[k].argmax())} {found.mean[k].max():.2f} on average, deviation {found.variance[k].max().sqrt():.2f}, "
                        f"entropy {found.entropy[k]:.2f}" for k, name in enumerate(asked)))

# %% [markdown]
# 100 answers to each. To the clear digit they are all alike. To the others they part. One pass alone would have shown a single number.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Turn a digit
#
# Move **angle**. Each row of the middle picture is one answer. When do the rows begin to differ? And when do they agree again?

# %% tags=["widget"]
widgets.turning()

# %% tags=["predict"] slideshow={"slide_type": "subslide"}
predict(
    "08.p3",
    "Turned by 60 degrees, about a quarter of the test digits are still named rightly. By 90 degrees, hardly any. And the doubt (the mean entropy), at 90 degrees?",
    options=["larger than at 60: more is wrong", "about the same", "smaller than at 60"],
    truth="smaller than at 60",
)

# %% slideshow={"slide_type": "subslide"}
angles, samples = range(0, 181, 30), 8 if FAST else 10
some = [part[: 12 if FAST else 24] for part in (test.images, test.labels)]
doubts = [mc_dropout.ask(model, widgets.rotate(some[0], angle), samples=samples, seed=SEED) for angle in angles]
doubt = {"entropy": [one.entropy.mean().item() for one in doubts], "information": [one.information.mean().item() for one in doubts]}
accuracy = [(one.mean.argmax(dim=1) == some[1]).float().mean().item() for one in doubts]
assert all(values[0] < values[1] < values[2] for values in doubt.values())  # upright, 30 and 60 degrees
fig, axes = plt.subplots(1, 2, figsize=(11.5, 3.3), layout="constrained")
charts.lines(doubt, x=angles, ax=axes[0], title=f"mean doubt over {len(some[0])} test digits", xlabel="turned by degrees", ylabel="nats")
charts.lines({"right": accuracy}, x=angles, ax=axes[1], title="named rightly", xlabel="turned by degrees")
for ax, room in zip(axes, (260, 215), strict=True):
    ax.set_xlim(-5, room)
    ax.set_xticks(list(angles))
show(fig, alt="; ".join(f"{name}: {values[0]:.2f} upright, {values[2]:.2f} at 60 degrees, {values[3]:.2f} at 90" for name, values in {**doubt, "right": accuracy}.items()))

# %% [markdown]
# The doubt grows as the digits leave what was learned. Then it falls, and the answers are wrong: lying on its side, many a digit is "surely a 4", and a 6
# upside down is a sure 9. **Doubt knows what is strange. It does not know what is wrong.**

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Pictures of something else
#
# Pieces of photos, drawn shapes, noise, and digits dark on white: does it doubt them more than test digits? Take one of each kind at random. The
# **AUROC** is the chance that the stranger has the larger doubt: 0.5 is a coin, 1 is perfect.

# %%
n, samples = (20, 8) if FAST else (50, 12)
inside = test.images[:: len(test.labels) // (2 * n)][: 2 * n]
strange = {"pieces of photos": photos.crops(size=28, n=n, seed=SEED).images.mean(dim=1, keepdim=True),
           "shapes": photos.resize(shapes.scenes(n, size=40, seed=SEED).images.mean(dim=1, keepdim=True), 28),
           "noise": torch.rand(n, 1, 28, 28, generator=seeded), "test digits, dark on white": 1 - inside[:n]}
every = torch.cat([inside, *strange.values()])
asked = mc_dropout.ask(model, every, samples=samples, seed=SEED)
with torch.no_grad():  # dropout off, one pass
    once = mc_dropout.entropy(torch.cat([model(part) for part in every.split(25)]).softmax(dim=1))
rows, start = [], 2 * n
for name in strange:
    other = slice(start, start + n)
    rows.append([name, *(round(calibration.auroc(score[: 2 * n], score[other]), 3) for score in (asked.entropy, asked.information, once))])
    assert min(rows[-1][1:]) > 0.8
    start += n
Table(["against test digits", "entropy", "mutual information", "entropy of one pass, dropout off"], rows, f"AUROC, {samples} answers to each picture")

# %% [markdown]
# All of them are doubted more. But look at the last column: for most, one plain pass does as well. Only the dark digits, which *look* like digits, gain from asking often.
# Always compare with the plain pass before you pay for many.

# %% slideshow={"slide_type": "skip"}
quiz("08.q2")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Can we believe "90 % sure"?
#
# Collect the answers that were about 90 % sure. If nine of ten are right, the network is **calibrated**. Dashed: how sure it was. Line: how often it
# was right. (Groups of fewer than ten answers are left out.)

# %%
fig, axes = plt.subplots(1, 2, figsize=(11.5, 3.5), layout="constrained")
errors = {}
for ax, (name, one) in zip(axes, nets.items(), strict=True):
    with torch.no_grad():
        judged = calibration.calibration(one(test.images).softmax(dim=1), test.labels, bins=5)
    few = judged.count < 10
    drawn = {"right": judged.accuracy.masked_fill(few, torch.nan), "sure": judged.confidence.masked_fill(few, torch.nan)}
    charts.lines({said: values.tolist() for said, values in drawn.items()}, x=[0.1, 0.3, 0.5, 0.7, 0.9], ax=ax,
                 title=f"{name}: error {judged.error:.2f}", xlabel="the network is so sure")
    ax.set_ylim(0, 1.05)
    ax.set_xlim(0, 1.15)
    errors[name] = (judged, (judged.accuracy - judged.confidence).nan_to_num(0) @ judged.count.float() / len(test.labels))
show(fig, alt="; ".join(f"{name}: calibration error {judged.error:.2f}, right {'less' if gap < 0 else 'more'} often than it says" for name, (judged, gap) in errors.items()))

# %% [markdown]
# Without dropout it is **too sure**: of what it calls certain, too much is wrong. With dropout it is **too modest**: a fifth of its labels lied, and it learned to
# say "about 80 %". Both can be measured. Neither can be seen from the accuracy.

# %% [markdown] tags=["teacher"]
# 3 minutes. Nobody should leave with "dropout makes it calibrated". It moves the curve; here it moves it past the line. Averaging MC answers makes it more
# modest still (try it: mc_dropout.ask(thick, test.images).mean). What mends it: temperature scaling on the validation set, Guo et al. 2017.

# %% slideshow={"slide_type": "skip"}
progress()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three things to keep
#
# 1. Over-fitting is seen by two curves that part. A network can learn wrong labels by heart, and new digits pay for it.
# 2. Dropout trains $2^n$ networks in one: mean kept by $1/(1-p)$, variance $x^2\,p/(1-p)$. Left on, it shows how far they disagree.
# 3. Before comparing two numbers, ask what each was measured on: plain or augmented, dropped or whole, one seed or several.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## New words
#
# | word | meaning |
# |---|---|
# | over-fitting | better and better on the training set, worse on everything else |
# | validation set | pictures that judge during a training, and never teach |
# | early stopping | ending a training when the validation loss has found no new lowest value for some epochs |
# | patience | for how many epochs early stopping waits |
# | dropout | units are silent at random while the network learns |
# | rate (of dropout) | the probability with which a unit is silent |
# | thinned network | what is left when some units are silent |
# | inverted dropout | what stays is divided by 1 - rate, so that nothing is to be done when testing |
# | co-adaptation | units that are of use only together |
# | augmentation | showing other views of the same picture, with the same label |
# | weight decay | a pull of all weights to zero |
# | MC dropout | dropout left on when testing, and many answers |
# | predictive entropy | the entropy of the mean answer: all doubt |
# | nat | the unit of entropy with the natural logarithm |
# | mutual information | the part of the doubt that is disagreement between the answers |
# | AUROC | area under the ROC curve: the chance that a stranger gets the higher score |
# | calibration | of what it calls 90 % sure, 90 % are right |
#
# ## References
#
# - G. Hinton et al.: *Improving neural networks by preventing co-adaptation of feature detectors*, 2012, arXiv:1207.0580.
# - N. Srivastava et al.: *Dropout: a simple way to prevent neural networks from overfitting*, JMLR 2014.
# - L. Prechelt: *Early stopping: but when?*, 1998.
# - P. Simard, D. Steinkraus, J. Platt: *Best practices for convolutional neural networks*, ICDAR 2003 (augmentation).
# - I. Loshchilov, F. Hutter: *Decoupled weight decay regularization*, ICLR 2019, arXiv:1711.05101.
# - C. Zhang et al.: *Understanding deep learning requires rethinking generalization*, ICLR 2017, arXiv:1611.03530 (random labels).
# - Y. Gal, Z. Ghahramani: *Dropout as a Bayesian approximation*, ICML 2016, arXiv:1506.02142.
# - N. Houlsby et al.: *Bayesian active learning for classification and preference learning*, 2011, arXiv:1112.5745 (mutual information).
# - C. Guo et al.: *On calibration of modern neural networks*, ICML 2017, arXiv:1706.04599.
