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
# **Needs:** lectures 00 to 02. No internet.

# %%
import matplotlib.pyplot as plt
import torch

from cnnlab.course import TODO, check, hint, predict, progress, quiz
from cnnlab.data import augment, digits, photos, shapes
from cnnlab.drawing import Table, charts, images, show
from cnnlab.methods.uncertainty import calibration, mc_dropout
from cnnlab.nets import deep, models
from cnnlab.nets.training import sweep_results, sweeps, train
from cnnlab.widgets.lessons import dropout as widgets, live_overfitting

# %% tags=["parameters"]
FAST = False  # True: fewer pictures and steps
SEED = 0
FEW = 300  # digits to learn from
WRONG = 0.2  # the share of them that gets a wrong label

# %% slideshow={"slide_type": "slide"}
plain, validate = sweeps.split(FEW, SEED)  # few digits to learn from, and 400 others to judge by
taught = sweeps.mislabelled(plain, WRONG, SEED)  # some of the labels are wrong, on purpose
test = digits.load("test")
options = {"epochs": 15 if FAST else 60, "batch": 32, "learning_rate": 1e-3, "keep": "last", "seed": SEED}
net = sweeps.network(sweeps.Settings(seed=SEED)).eval()
history = train.fit(net, taught, validate, **options)
epochs, peak = range(1, len(history.loss) + 1), max(history.val_accuracy)
assert FAST or (history.accuracy[-1] > 0.9 and peak > history.val_accuracy[-1] + 0.04)

fig, axes = plt.subplots(1, 2, figsize=(11.5, 3.3), layout="constrained")
right = {"training": history.accuracy, "validation": history.val_accuracy}
loss = {"training": history.loss, "validation": history.val_loss}
charts.lines(right, x=epochs, ax=axes[0], title="share right", xlabel="epoch")
charts.lines(loss, x=epochs, ax=axes[1], title="loss", xlabel="epoch")
for ax in axes:
    ax.set_xlim(0, 1.3 * len(epochs))  # room for the names
    ax.set_xticks(range(0, len(epochs) + 1, len(epochs) // 3))
show(fig, alt=f"Training and validation over {len(epochs)} epochs. Training rises to {right['training'][-1]:.0%} "
              f"right; validation rises to {peak:.0%}, then falls to {right['validation'][-1]:.0%}, and its "
              "loss rises again.")

# %% [markdown]
# A network of dense layers (269 322 weights) learns 300 digits. On the digits it learns from, it gets better and better. On 400
# others it gets better, and then **worse**. This is **over-fitting**.
#
# Here **a fifth of the training labels is wrong, on purpose**. So the training curve begins below the other one: whoever
# names every digit rightly hits only four fifths of these labels.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What did it learn in the end?

# %%
wrong = (taught.labels != plain.labels).nonzero()[:, 0]
lies = [f"a {plain.labels[k]}, labelled {taught.labels[k]}" for k in wrong[:5]]
show(images.row(list(taught.images[wrong[:5]]), titles=lies),
     alt="Five digits of the training set with wrong labels: " + "; ".join(lies))

# %% [markdown]
# Five of the wrong labels. No rule leads from these pictures to these labels. Whoever repeats them has learned them by heart.

# %% tags=["predict"] slideshow={"slide_type": "subslide"}
predict(
    "08.p1",
    "The training is over. We show the network the mislabelled digits again. "
    "For how many per cent of them does it repeat the wrong label?",
    truth=lambda: by_heart,
)

# %% slideshow={"slide_type": "fragment"}
def per_cent(hits):
    return round(100 * hits.float().mean().item())


with torch.no_grad():
    says, named = net(taught.images).argmax(dim=1), net(test.images).argmax(dim=1)
honest = taught.labels == plain.labels
by_heart = per_cent(says[wrong] == taught.labels[wrong])
counted = {"wrong labels: repeated": by_heart,
           "wrong labels: the right digit instead": per_cent(says[wrong] == plain.labels[wrong]),
           "right labels: repeated": per_cent(says[honest] == plain.labels[honest]),
           "test digits: right": per_cent(named == test.labels)}
assert FAST or by_heart > 70
fig, ax = plt.subplots(figsize=(10, 2.9), layout="constrained")
charts.bars(counted, ax=ax, title="what the network says in the end, in per cent")
ax.set_xlim(0, 110)
show(fig, alt="In per cent: " + "; ".join(f"{what}, {number}" for what, number in counted.items()))

# %% [markdown]
# It knows nearly all of them by heart. And the test digits pay for it.

# %% [markdown] tags=["teacher"]
# 5 minutes. Take guesses before the bars. The digits with wrong labels cost it: to give each its own answer, the network must cut small
# islands into its map, and new digits fall on these islands. Zhang et al. 2017 did the same with a million photos and random labels.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Watch it happen
#
# Press **Train**. Which curve turns round, and when? Then choose a remedy, and train again: the last validation curve stays, as
# *before*.

# %% tags=["widget"]
live_overfitting.live(digits=FEW, label_noise=WRONG, seed=SEED)

# %% [markdown] tags=["teacher"]
# 6 minutes. First "nothing", then one remedy at a time; ask before each: which of the two curves will move, and which way? Set the wrong
# labels to 0 %: the fall almost vanishes. 1000 digits: it comes later. Two such trainings cannot run at the same time.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## First remedy: stop early
#
# Look at the validation loss after each epoch. Wait for a new lowest value, but not for ever: after `patience` epochs in a row
# without one, **stop**, and take the weights of the best epoch.
#
# The validation set judges. So it must not teach. And because it chose the epoch, it is no impartial judge any more: the last
# word belongs to a third set, the **test set**.

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
charts.lines({"validation": history.val_loss}, x=epochs, ax=ax, xlabel="epoch", ylabel="loss",
             title=f"patience 5: stop after epoch {last}, go back to epoch {best}")
for position, said, side in ((best, "lowest ", "right"), (last, " stop", "left")):
    ax.axvline(position, color="0.4", linestyle=":")
    ax.text(position, max(history.val_loss), said, ha=side, va="top", fontsize=13)
ax.set_xlim(0, 1.2 * len(epochs))
ax.set_xticks(range(0, len(epochs) + 1, len(epochs) // 3))
show(fig, alt=f"The validation loss: lowest after epoch {best}, and {last - best} epochs later the training "
              "would have stopped.")
print(f"validation: {history.val_accuracy[best - 1]:.0%} right after epoch {best}, "
      f"{history.val_accuracy[-1]:.0%} after epoch {len(epochs)}")

# %% [markdown]
# It costs nothing but a validation set, and it saves time. But it cures nothing: it only ends the training before the harm is
# done. Can the network go on to learn, and *not* learn by heart?

# %% [markdown] tags=["teacher"]
# 4 minutes. Somebody will see that the accuracy was best in another epoch than the loss. The loss is the finer judge: it counts how
# sure each answer was, and jumps less. Prechelt 1998 compares rules; this is the simplest.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Second remedy: dropout
#
# In each step, each unit is silent with probability $p$, the **rate**: other units in each step, other ones for each picture.
#
# - A unit cannot lean on one certain other unit: that one may be silent. Units that are of use only together, **co-adapted**,
#   get rare.
# - With $n$ units there are $2^n$ ways to be silent: $2^n$ **thinned networks**. Hardly any of them is ever trained itself.
#   They learn together, for they share their weights.
#
# In use, all units speak. At $p = 0.5$, twice as much would then arrive as in training. So in training, what stays is divided
# by $1-p$: **inverted dropout**.

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

# %% [markdown] tags=["teacher"]
# 4 minutes, on the board. E = p · 0 + (1-p) · x/(1-p) = x. The mean of the square is (1-p) · x²/(1-p)² = x²/(1-p); less x², that is
# x² p/(1-p). At p = 0.5 the deviation is as large as x itself: much noise, for each unit alone. A sum of many units is steadier.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 08.3: dropout, backward
#
# You get `g`, the gradient from above, and `kept`: True where a unit stayed on the way forward. What is the gradient below? What was
# silent did nothing for the loss.

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
(dropout(leaf, noise, 0.3) ** 3).sum().backward()  # torch goes back through your way forward …
above = 3 * dropout(leaf.detach(), noise, 0.3) ** 2
assert torch.allclose(leaf.grad, dropout_backward(above, noise >= 0.3, 0.3), atol=1e-4)
print("… and finds the same gradient as your way back.")

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
# Eight hidden units: $2^8 = 256$ thinned networks. So few that we can ask every one, here about the test digit over which they
# differ most. Line: the mean of the 256. Dots: all units speak.

# %%
torch.manual_seed(SEED)
small = deep.dense((8,), dropout=0.5).eval()
train.fit(small, plain, **options)
masks = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 8)  # (256, 8): every way to be silent
below = small[:-1]  # all layers but the last; in eval mode nothing is dropped
with torch.no_grad():
    hidden = below(test.images)  # (355, 8)
    thinned = small.out(hidden[:, None] * masks / 0.5)  # (355, 256, 10)
    whole = small.out(hidden)  # (355, 10)
assert torch.allclose(thinned.mean(dim=1), whole, atol=1e-3)  # the same: the last layer is linear
every = torch.arange(len(test.labels))
k = int(thinned.softmax(dim=2)[every, :, test.labels].std(dim=1).argmax())
digit, awake = int(test.labels[k]), int((hidden[k] > 0).sum())
print(f"This digit, a {digit}, wakes {awake} of the 8 units: among the 256 answers only {2**awake} are different.")

# %%
fig, axes = plt.subplots(1, 2, figsize=(11.5, 3.1), layout="constrained")
shown = {"logit": (thinned[k], whole[k]), "probability": (thinned[k].softmax(dim=1), whole[k].softmax(dim=0))}
for ax, (name, (each, all_speak)) in zip(axes, shown.items(), strict=True):
    ax.hist(each[:, digit], bins=20, color=charts.COLOURS[4])
    ax.axvline(each[:, digit].mean(), color=charts.COLOURS[1], linewidth=3)
    ax.axvline(all_speak[digit], color="0.1", linewidth=3, linestyle=":")
    ax.set_xlabel(f"{name} of the right class, {digit}", fontsize=13)
axes[0].set_ylabel("networks", fontsize=13)
show(fig, alt="Two histograms of 256 answers. The mean of the logits is the logit with all units. The mean of "
              f"the probabilities is {shown['probability'][0][:, digit].mean():.2f}; with all units it is "
              f"{whole[k].softmax(dim=0)[digit]:.2f}.")

# %% [markdown]
# Some are sure of the digit, some see another one. Left, line and dots lie on each other: the **mean of the logits is the logit
# with all units**, exactly, since behind the dropout stands one linear layer. (In a deeper network, nearly.) For probabilities it
# is not so. Still, one pass with all units stands for all $2^n$.

# %% [markdown] tags=["teacher"]
# 4 minutes. What the one pass gives is the geometric mean of all 256 answers, made to sum to 1 (Hinton et al. 2012): the mean of logits,
# then the softmax. Why so few different answers? A unit that is silent by its ReLU cannot be dropped.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Move the rate
#
# The `encoder` of the course: convolutions, then a **code** of 256 units, with dropout behind it. Grey units are dropped; dark ones
# are silent by themselves. Move **rate**: what becomes of the answer, and of its logit?

# %% tags=["widget"]
widgets.units()

# %% [markdown] tags=["teacher"]
# 4 minutes. Start at 0: one spike. 0.5: the logit spreads, but the answer hardly moves, since it was trained so. 0.9: it breaks. The
# dashed hill is the formula: the variance is the sum of (w x)^2 over the units, times p / (1 - p). Then another draw: other units,
# nearly the same answer.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Are the units less dependent on each other?
#
# The same digits, the same wrong labels, once with dropout. Then we take away units of the second layer, at random, and test.

# %%
thick = sweeps.network(sweeps.Settings(regulariser="dropout", seed=SEED)).eval()
train.fit(thick, taught, validate, **options)
nets, shares, fallen = {"without dropout": net, "with dropout": thick}, (0.0, 0.25, 0.5, 0.75, 0.9), {}
with torch.no_grad():
    for name, one in nets.items():
        below, fallen[name] = one[:-1], []  # all layers but the last
        units = below(test.images)  # (355, 256)
        for share in shares:
            left = [dropout(units, torch.rand(units.shape, generator=seeded), share) for _ in range(20)]
            hits = [one.out(some).argmax(dim=1) == test.labels for some in left]
            fallen[name].append(torch.stack(hits).float().mean().item())
assert FAST or fallen["with dropout"][3] > fallen["without dropout"][3]
fig, ax = plt.subplots(figsize=(9, 3.4), layout="constrained")
charts.lines(fallen, x=shares, ax=ax, title="test digits right", xlabel="share of the units taken away")
ax.set_xlim(0, 1.2)
ax.set_xticks(shares)
show(fig, alt="; ".join(f"trained {name}: {right[0]:.0%} with all units, {right[2]:.0%} with half, "
                        f"{right[4]:.0%} with a tenth" for name, right in fallen.items()))

# %% [markdown]
# Without dropout, the answers suffer more and more. With dropout, half of the layer may go, and hardly an answer changes. This is
# what *no co-adaptation* means, measured. (The second network has practised just this.)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Third remedy: other views of the same digit
#
# A moved 3 is a 3. So show each digit anew in each epoch: **moved** (translation), **turned** (rotation), **larger or smaller**
# (scaling). This is **data augmentation**. Nothing is dropped; there is simply more to learn from.

# %%
ways = {"as it is": {}, "moved": {"shift": 3}, "turned": {"rotate": 25}, "scaled": {"scale": (0.8, 1.2)},
        "all three": {"shift": 2, "rotate": 10, "scale": (0.9, 1.1)}}
views = [augment.geometric(**way)(plain.images[:1], torch.Generator().manual_seed(SEED + 5)) for way in ways.values()]
show(images.row(views, titles=list(ways)),
     alt="One digit five times: as it is, moved, turned, scaled, and all three at once.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What helps? Measured
#
# Fifteen trainings: four remedies and nothing, with three seeds each. The fourth remedy is **weight decay**: it pulls every weight
# to zero a little in each step. The numbers are shipped with the course; `python -m cnnlab sweep remedies` measures them again.

# %% tags=["predict"]
predict(
    "08.p2",
    "300 digits, a fifth with a wrong label, 60 epochs. Which of these four helps least?",
    options=["dropout", "augmentation", "weight decay", "early stopping"],
    truth="weight decay",
)

# %% slideshow={"slide_type": "subslide"}
def kept(rows, remedy):
    """The epoch whose weights stay: the last one; with early stopping the one with the lowest loss."""
    return min(rows, key=lambda row: row["val_loss"]) if remedy == "early stopping" else rows[-1]


trainings = {remedy: sweep_results.runs("remedies", regulariser=remedy).finished for remedy in sweeps.REGULARISERS}
over_time = {}
for remedy, three in trainings.items():
    # After a stop, the weights that were kept stay as they are.
    long = [rows + [kept(rows, remedy)] * (60 - len(rows)) for rows in three]
    means = [sum(row["val_accuracy"] for row in epoch) / 3 for epoch in zip(*long, strict=True)]
    over_time[remedy] = [mean if mean > 0.75 else float("nan") for mean in means]  # not the steep beginning
fig, ax = plt.subplots(figsize=(10, 4), layout="constrained")
charts.lines(over_time, x=range(1, 61), ax=ax, title="validation digits right, mean of three seeds", xlabel="epoch")
ax.set_ylim(0.75, 0.96)
ax.set_xlim(0, 80)
ax.set_xticks(range(0, 61, 20))
show(fig, alt="; ".join(f"{remedy}: at its best {max(means[9:]):.0%}, in the end {means[-1]:.0%}"
                        for remedy, means in over_time.items()))

# %% [markdown]
# With nothing, and with weight decay, the curve rises and falls. Early stopping stays where it stopped. The other two stay high.

# %% slideshow={"slide_type": "subslide"}
rows = []
for remedy, three in trainings.items():
    ends = [kept(one, remedy) for one in three]
    means = [sum(end[key] for end in ends) / 3 for key in ("accuracy", "val_accuracy", "test_accuracy")]
    tested, lengths = sorted(end["test_accuracy"] for end in ends), sorted(map(len, three))
    rows.append([remedy, *(f"{mean:.0%}" for mean in means), f"{tested[0]:.0%} to {tested[-1]:.0%}",
                 f"{lengths[0]} to {lengths[-1]}" if lengths[0] < lengths[-1] else f"{lengths[0]}"])
assert rows[2][3] > rows[0][3]
Table(["remedy", "training, as seen", "validation", "test", "test, by seed", "epochs"], rows,
      "300 digits, a fifth mislabelled. Means of three seeds, for the weights that were kept")

# %% [markdown]
# Augmentation and dropout help most; which of them is better, three seeds cannot tell. Early stopping comes near, in less than half
# of the time. Weight decay of this strength helps little. Each remedy has a strength to be chosen. And they can be combined.

# %% slideshow={"slide_type": "skip"}
quiz("08.q3")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How much dropout?
#
# At rate 0.8, four of five units are silent in each step. Is more dropout always better? Find the best rate, and say by which
# curve you judge.

# %% tags=["widget"]
widgets.rates()

# %% [markdown] tags=["teacher"]
# 4 minutes. Too little changes nothing; too much leaves too few units to learn with; between lies a wide plateau. Judge by validation: the
# training curve only falls. The best is a little above one half here, with many wrong labels and wide layers. Behind convolutions one
# takes less (0.25 in the encoder): they have few weights for their many places, and over-fit less.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Validation above training: is that possible?
#
# In the table: with augmentation, 77 % in training, and far more in validation. Did it learn better what it never saw?
#
# Ask **what was measured**. Here is a training with all labels right, and augmentation.

# %%
turned = augment.geometric(shift=3, rotate=20, scale=(0.9, 1.2))
fresh = sweeps.network(sweeps.Settings(seed=SEED)).eval()
seen = train.fit(fresh, plain, validate, **{**options, "epochs": 8 if FAST else 20}, augment=turned)
anew = plain._replace(images=turned(plain.images, torch.Generator().manual_seed(SEED)))
moved, alike = (train.evaluate(fresh, each)[1] for each in (anew, plain))
assert max(seen.accuracy[-1], moved) < alike
Table(["measured on", "how", "right"],
      [["training set", "moved and turned, during the epoch", f"{seen.accuracy[-1]:.0%}"],
       ["training set", "moved and turned, after the epoch", f"{moved:.0%}"],
       ["validation set", "plain, after the epoch", f"{seen.val_accuracy[-1]:.0%}"],
       ["training set", "plain, after the epoch", f"{alike:.0%}"]], "The same network, the same epoch")

# %% [markdown]
# The training set was measured on **harder pictures**, and while the network was still learning. Measured alike, the order is the
# usual one: training above validation.
#
# In the table of the remedies there was more: with dropout, training is measured on thinned networks; and a fifth of the labels was
# wrong.

# %% slideshow={"slide_type": "skip"}
quiz("08.q1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Leave dropout on, and ask again
#
# A network always answers, even to noise. How sure is it? **MC dropout** (Gal & Ghahramani 2016; MC for Monte Carlo, drawing at
# random): leave dropout on while testing, and ask $S$ times. Each answer $p_s$ comes from another thinned network.
#
# - **Predictive mean** $\bar p = \frac1S\sum_s p_s$, and the **variance** about it.
# - **Predictive entropy** $H(\bar p)$, where $H(p) = -\sum_k p_k \log p_k$: all doubt, from 0 to $\log 10 = 2.3$ **nats** (so the
#   unit is called, with the natural logarithm).
# - **Mutual information** $H(\bar p) - \frac1S\sum_s H(p_s)$: how much the answers *disagree*. This doubt lies in the network; the
#   rest lies in the picture.

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
every = torch.cat(list(asked.values()))
answers = torch.stack(list(mc_dropout.samples(model, every, n_samples=100, seed=SEED)))  # (100, 3, 10)
mean, variance = mean_and_variance(answers[:, 1])  # yours, if it is right
found = mc_dropout.summary(answers)
assert torch.allclose(mean, found.mean[1], atol=1e-4) and torch.allclose(variance, found.variance[1], atol=1e-4)

fig, axes = plt.subplots(2, 3, figsize=(11, 4.8), layout="constrained")
said = []
for k, (name, image) in enumerate(asked.items()):
    first, doubt = int(found.mean[k].argmax()), f"entropy {found.entropy[k]:.2f}, information {found.mutual_information[k]:.2f}"
    images.picture(image, ax=axes[0, k], title=name)
    axes[1, k].hist(answers[:, k, first], bins=20, range=(0, 1), color=charts.COLOURS[0])
    axes[1, k].set_title(doubt, fontsize=13)
    axes[1, k].set_xlabel(f"probability of {first}", fontsize=13)
    said.append(f"{name}: probability of {first} {found.mean[k, first]:.2f} on average, "
                f"deviation {found.variance[k, first].sqrt():.2f}, {doubt}")
axes[1, 0].set_ylabel("answers", fontsize=13)
show(fig, alt="; ".join(said))

# %% [markdown]
# 100 answers to each, for the class that is first on average. To the clear digit they are all alike. To the others they part. One pass
# alone would have shown a single number.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Turn a digit
#
# Move **angle**. Each row of the middle picture is one answer. When do the rows begin to differ? And when do they agree again?

# %% tags=["widget"]
widgets.turning()

# %% tags=["predict"] slideshow={"slide_type": "subslide"}
predict(
    "08.p3",
    "Turned by 60 degrees, about a quarter of the test digits are still named rightly. By 90 degrees, hardly any. "
    "And the doubt (the mean entropy), at 90 degrees?",
    options=["larger than at 60: more is wrong", "about the same", "smaller than at 60"],
    truth="smaller than at 60",
)

# %% slideshow={"slide_type": "subslide"}
angles, samples = range(0, 181, 30), 8 if FAST else 10
some, labels = (part[: 12 if FAST else 24] for part in (test.images, test.labels))
doubts = [mc_dropout.predict(model, widgets.rotate(some, angle), n_samples=samples, seed=SEED) for angle in angles]
doubt = {"entropy": [one.entropy.mean().item() for one in doubts],
         "information": [one.mutual_information.mean().item() for one in doubts]}
right = [(one.mean.argmax(dim=1) == labels).float().mean().item() for one in doubts]
assert all(values[0] < values[1] < values[2] for values in doubt.values())  # upright, 30 and 60 degrees
fig, axes = plt.subplots(1, 2, figsize=(11.5, 3.3), layout="constrained")
charts.lines(doubt, x=angles, ax=axes[0], title=f"mean doubt over {len(some)} test digits", ylabel="nats")
charts.lines({"right": right}, x=angles, ax=axes[1], title="share named rightly")
for ax, room in zip(axes, (260, 215), strict=True):
    ax.set_xlim(-5, room)
    ax.set_xticks(angles)
    ax.set_xlabel("turned by degrees", fontsize=13)
show(fig, alt="; ".join(f"{name}: {values[0]:.2f} upright, {values[2]:.2f} at 60 degrees, {values[3]:.2f} at 90"
                        for name, values in {**doubt, "right": right}.items()))

# %% [markdown]
# The doubt grows as the digits leave what was learned. At 90 degrees it falls again, though nearly all answers are wrong: lying on
# its side, many a digit is "surely a 4". And a 6 upside down is a sure 9. **Doubt knows what is strange. It does not know what is
# wrong.**

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Pictures of something else
#
# Pieces of photos, drawn shapes, noise, and digits dark on white: does the network doubt them more than test digits? Take one
# stranger and one test digit at random. The **AUROC** is the chance that the stranger is doubted more: 0.5 is a coin, 1 is perfect.

# %%
n, samples = (20, 8) if FAST else (50, 12)
inside = test.images[:: len(test.labels) // (2 * n)][: 2 * n]
strange = {"pieces of photos": photos.crops(size=28, n=n, seed=SEED).images.mean(dim=1, keepdim=True),
           "shapes": photos.resize(shapes.scenes(n, size=40, seed=SEED).images.mean(dim=1, keepdim=True), 28),
           "noise": torch.rand(n, 1, 28, 28, generator=seeded), "test digits, dark on white": 1 - inside[:n]}
every = torch.cat([inside, *strange.values()])
asked = mc_dropout.predict(model, every, n_samples=samples, seed=SEED)
with torch.no_grad():  # dropout off, one pass
    once = mc_dropout.entropy(torch.cat([model(part) for part in every.split(25)]).softmax(dim=1))
scores, rows = (asked.entropy, asked.mutual_information, once), []
for k, name in enumerate(strange, 2):  # the first 2 n pictures are test digits
    found = [calibration.auroc(score[: 2 * n], score[k * n : (k + 1) * n]) for score in scores]
    assert min(found) > 0.8
    rows.append([name, *(f"{one:.3f}" for one in found)])
Table(["against test digits", "entropy", "mutual information", "entropy of one pass, dropout off"], rows,
      f"AUROC, {samples} answers to each picture")

# %% [markdown]
# All of them are doubted more. But look at the last column: for most, one plain pass does as well. Only the dark digits, which *look*
# like digits, gain from asking often. Always compare with the plain pass before you pay for many.

# %% slideshow={"slide_type": "skip"}
quiz("08.q2")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Can we believe "90 % sure"?
#
# Collect the answers that were about 90 % sure. If nine of ten are right, the network is **calibrated**. Dashed: how sure it was. Line:
# how often it was right. The **error** is the mean gap between them. (Groups of fewer than ten answers are not drawn.)

# %%
fig, axes = plt.subplots(1, 2, figsize=(11.5, 3.7), layout="constrained")
said = []
for ax, (name, one) in zip(axes, nets.items(), strict=True):
    with torch.no_grad():
        judged = calibration.calibration(one(test.images).softmax(dim=1), test.labels, bins=5)
    drawn = judged.count >= 10
    sure, right = judged.confidence[drawn].tolist(), judged.accuracy[drawn].tolist()
    charts.lines({"right": right, "sure": sure}, x=sure, ax=ax, title=f"{name}: error {judged.error:.2f}",
                 xlabel="how sure the network was")
    ax.set_ylim(0.2, 1.05)
    ax.set_xlim(0.2, 1.15)
    ax.set_xticks([0.2, 0.4, 0.6, 0.8, 1.0])
    said.append(f"{name}: calibration error {judged.error:.2f}, right "
                f"{'less' if sum(right) < sum(sure) else 'more'} often than it says")
show(fig, alt="; ".join(said))

# %% [markdown]
# Without dropout it is **too sure**: of what it calls certain, too much is wrong. With dropout it is **too modest**: a fifth of its
# labels lied, and it learned to say "about 80 %". Both can be measured. Neither can be seen from the accuracy.

# %% [markdown] tags=["teacher"]
# 3 minutes. Nobody should leave with "dropout makes it calibrated". It moves the curve; here it moves it past the line. Averaging MC
# answers makes it more modest still (try it: mc_dropout.predict(thick, test.images).mean). What mends it: temperature scaling on the
# validation set, Guo et al. 2017.

# %% slideshow={"slide_type": "skip"}
progress()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three things to keep
#
# 1. Over-fitting is seen by two curves that part. A network can learn wrong labels by heart, and new digits pay for it.
# 2. Dropout trains $2^n$ networks that share their weights: mean kept by $1/(1-p)$, variance $x^2\,p/(1-p)$. Left on, it shows how far
#    they disagree.
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
# - L. Prechelt: *Early stopping – but when?*, in *Neural networks: tricks of the trade*, 1998.
# - P. Simard, D. Steinkraus, J. Platt: *Best practices for convolutional neural networks applied to visual document analysis*,
#   ICDAR 2003 (augmentation).
# - I. Loshchilov, F. Hutter: *Decoupled weight decay regularization*, ICLR 2019, arXiv:1711.05101.
# - C. Zhang et al.: *Understanding deep learning requires rethinking generalization*, ICLR 2017, arXiv:1611.03530 (random labels).
# - Y. Gal, Z. Ghahramani: *Dropout as a Bayesian approximation*, ICML 2016, arXiv:1506.02142.
# - N. Houlsby et al.: *Bayesian active learning for classification and preference learning*, 2011, arXiv:1112.5745 (mutual
#   information).
# - D. Hendrycks, K. Gimpel: *A baseline for detecting misclassified and out-of-distribution examples in neural networks*, ICLR 2017,
#   arXiv:1610.02136 (one plain pass, and the AUROC).
# - C. Guo et al.: *On calibration of modern neural networks*, ICML 2017, arXiv:1706.04599.
