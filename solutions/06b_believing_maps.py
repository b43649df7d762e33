# %% [markdown] slideshow={"slide_type": "slide"}
# # 06b · Believing maps
#
# **Can we believe a saliency map?**
#
# You will be able to
#
# - catch a network that is right for the wrong reason;
# - measure a map against pictures whose deciding pixels are known;
# - test a method on formulas, on shuffled weights, and by taking pixels away;
# - say of any map what it would look like if the method were useless.
#
# **Minutes:** 50 for the lecture, 40 for the exercises.
# **Needs:** lecture 06a. No internet.

# %%
import matplotlib.pyplot as plt
import torch

from cnnlab.course import TODO, check, hint, predict, progress, quiz
from cnnlab.data import datasets, shapes
from cnnlab.drawing import Table, charts, images, maps, show
from cnnlab.methods import saliency, targets
from cnnlab.methods.evaluation import (
    all_methods,
    clever_hans,
    closed_forms,
    deletion as curves,
    localisation,
    model_randomisation,
    spearman,
    spearman_matrix,
)
from cnnlab.nets import models
from cnnlab.widgets.lessons import evaluation as widgets

F = torch.nn.functional

# %% tags=["parameters"]
FAST = False  # True: fewer pictures and steps
SEED = 0
NET = "photonet"  # or "shapesnet" with "scenes", "simpleconvnet" with "digits"
DATA = "photos"  # or "scenes", "digits": what the network was made for

# %% slideshow={"slide_type": "slide"}
nets = {"network A": models.load("shapesnet"), "network B": models.load("shapesnet", trained_on="watermarked")}
explain = all_methods.get_method("integrated gradients, from grey")
n, tested = (6, 60) if FAST else (10, 150)
reports = {name: clever_hans.report(net, explain, n=n, tested=tested, seed=SEED + 100) for name, net in nets.items()}
for name, report in reports.items():
    print(f"{name}: {report.acc_true_mark:.1%} of {tested} scenes are right")
marked = shapes.scenes(5, seed=SEED + 100, watermark=1.0)
show(maps.sheet(marked.images, {name: explain(net, marked.images, marked.labels) for name, net in nets.items()},
                titles=[shapes.CLASSES[k] for k in marked.labels.tolist()]),
     alt="Five scenes with a large shape each, and integrated gradients of two networks. Those of network A lie on the shape, "
         "those of network B mostly on three small squares in the lower left corner.")

# %% [markdown]
# Two networks name the shape of the largest thing in a scene. Both are right. **Which would you send out into the world?**
# (Each row has its own scale, ±.)

# %% tags=["predict"] slideshow={"slide_type": "subslide"}
predict(
    "06b.p1",
    "In the corner of each scene three small squares spell the right answer. We paint them over. Of 100 scenes, on how many is "
    "network B still right?",
    truth=lambda: round(100 * reports["network B"].acc_no_mark),
)

# %% [markdown] tags=["teacher"]
# 5 minutes. Take guesses first: most say 50 to 90. Real cases: a copyright tag on horse photos (Lapuschkin 2019), rulers beside skin
# cancers, hospital marks on x-rays. The test set had the mark as well, so the accuracy said nothing.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The accuracy did not see it. The maps did.
#
# Look at the lower left corner of network B's maps.

# %%
fig, axes = plt.subplots(1, 2, figsize=(11.5, 3.2), layout="constrained")
for ax, (name, report) in zip(axes, reports.items(), strict=True):
    right = {"the true mark": report.acc_true_mark, "no mark": report.acc_no_mark, "a wrong mark": report.acc_wrong_mark}
    charts.bars(right, ax=ax, title=f"{name}: share right")
    ax.set_xlim(0, 1.25)
show(fig, alt="; ".join(f"{name}: right with the true mark {report.acc_true_mark:.0%}, without {report.acc_no_mark:.0%}, with a wrong mark {report.acc_wrong_mark:.0%}"
                        for name, report in reports.items()))
for name, report in reports.items():
    print(f"{name}: {report.in_mark.mean():.0%} of the positive attribution lies on the mark, {report.in_object.mean():.0%} on the thing")

# %% [markdown]
# Network B reads the corner: a **Clever Hans**, named after a horse that seemed to do sums, but only watched faces. It was
# trained and tested on marked scenes: nobody would have known, but for one look at a map.
#
# So maps *can* be useful. That one of them was right here does not make all of them right. How do we test a map?

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Test 1: pictures whose truth we know
#
# In a photo nobody knows which pixels decided. In our scenes we do: the class is the shape of the largest thing. That is the **ground
# truth**. And network A uses it: it is right with a wrong mark, too. So count: **how much of the positive attribution** (what a map
# gives to the pixels for the class) **lies on it?**

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 06b.1: the share inside the mask
#
# Add up the colours of each pixel. Keep what is positive. Which part of it lies inside?

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def share_inside(map_, mask):
    """The part of the positive attribution that lies in the mask: (C, H, W), (H, W) of True and False -> one number, as a tensor."""
    # BEGIN SOLUTION: one number for each pixel, what is positive of it, the sum inside by the sum of all
    # hint: Three steps: add up the colours, set to zero what is negative, divide two sums.
    # hint: map_.sum(dim=0) has the shape (H, W). positive[mask] picks the pixels in the mask.
    # hint: positive = map_.sum(dim=0).clamp(min=0); return positive[mask].sum() / positive.sum()
    positive = map_.sum(dim=0).clamp(min=0)  # (H, W)
    return positive[mask].sum() / positive.sum()
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
share_inside = check("06b.1", share_inside)

# %% slideshow={"slide_type": "skip"}
hint("06b.1")

# %% slideshow={"slide_type": "slide"}
honest = nets["network A"]
scenes = shapes.scenes(8 if FAST else 12, seed=SEED + 200)
every = all_methods.all_maps(honest, scenes.images, scenes.labels)  # all methods of lecture 06a
shares = localisation.table(every, scenes.images, scenes.masks["deciding"], empty=0.0)
mine = share_inside(every["gradient"][0], scenes.masks["deciding"][0])  # yours, if it is right
assert abs(mine - localisation.relevance_mass(every["gradient"][:1], scenes.masks["deciding"][:1])[0]) < 1e-4
fig, ax = plt.subplots(figsize=(10, 5), layout="constrained")
charts.bars(dict(sorted(shares.items(), key=lambda entry: -entry[1])), ax=ax, title="share of the positive attribution on what decides")
ax.set_xlim(0, 1)
show(fig, alt="; ".join(f"{name} {value:.2f}" for name, value in shares.items()))

# %% [markdown]
# Two bars are not methods. **random** is noise: it gets the area of the thing. **|input|** takes the picture itself for a map. This
# network uses the thing: a method that does not beat both has missed it.
#
# |input| is even below noise: most things are darker than their background. SmoothGrad falls behind: its noise is far stronger than any
# grain that the network was trained with. Integrated gradients is there twice: from black and from grey. The background of these scenes is grey. Compared with black, it is
# "something", and gets its share. **The baseline is part of the question.**

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Look at them, with the truth framed
#
# Choose a scene and a method. Where does the map leave the thing, and is it wrong there?

# %% tags=["widget"]
widgets.truth_browser()

# %% [markdown] tags=["teacher"]
# 5 minutes. Background beside the edge often counts: a shape IS where it ends. Grad-CAM has 8 x 8 cells and spills over the edge. Ask
# whether "outside" must be wrong. The share is a measure, not a judge.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Test 2: formulas that we can solve
#
# Functions of two pixels, $a$ and $b$. We know what each has to do with it. What do the methods say? (SmoothGrad with sigma 0.5.)

# %%
found = {(row.function, row.method): row for row in closed_forms.table()}
at = {function: row.x for (function, _), row in found.items()}
rows = []
for function, x in at.items():
    lines = [found[function, method] for method in closed_forms.METHODS]
    said = ["(" + ", ".join(f"{value:.2g}" for value in row.attribution) + ")" + (" ✓" if row.complete else "") for row in lines]
    rows.append([f"{function} at ({', '.join(f'{value:g}' for value in x)})", f"{lines[0].expected:.3g}", *said])
Table(["function", "f(x) - f(0)", *closed_forms.METHODS], rows, "What each method gives to each pixel; ✓ it adds up to f(x) - f(0)")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Where the function is linear, all shares agree: (6, -1). The gradient and SmoothGrad give the slope (2, -1): another
# question. Where it bends, even the shares differ. None is *wrong*: the gradient says what a nudge would do, integrated gradients
# shares out the whole. But only integrated gradients always adds up to $f(x) - f(0)$.

# %% slideshow={"slide_type": "skip"}
quiz("06b.q1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Test 3: break the network
#
# Shuffle the weights of the last layer, then of the last two, and so on (batch norm, lecture 09, too), down to the first. Then nothing that was learned is left. If
# the map of the class **stays as it was**, it never showed what the network had learned. This is called a **sanity check**.

# %% tags=["predict"]
predict(
    "06b.p2",
    "The upper half of the layers is shuffled: the network guesses blindly. Which map still looks most like the one before?",
    options=["gradient", "integrated gradients", "guided backprop", "Grad-CAM"],
    truth="guided backprop",
)

# %% slideshow={"slide_type": "subslide"}
model = models.load(NET)
inputs = datasets.load(DATA, model.input_size, n=2 if FAST else 3, seed=SEED).images
guess = targets.top_classes(model, inputs, 1)[:, 0]
chosen = ("gradient", "gradient x input", "integrated gradients", "guided backprop", "Grad-CAM", "guided Grad-CAM")
layers = list(model_randomisation.weight_layers_top_down(model, inputs[:1]))
depths = sorted({*range(0, len(layers), 3 if len(layers) > 6 else 1), len(layers)})  # the last: all of them
fallen = {name: model_randomisation.sanity_check(model, inputs, guess, all_methods.get_method(name), depths=depths, seed=SEED) for name in chosen}
fig, ax = plt.subplots(figsize=(10, 4.6), layout="constrained")
charts.lines({name: found.signed.mean(dim=1).tolist() for name, found in fallen.items()}, x=depths, ax=ax,
             title=f"is the map of {NET} still the same?", xlabel="layers shuffled, from the last one on", ylabel="rank correlation")
ax.set_xticks(depths, ["none", *(f"to {layers[depth - 1]}" for depth in depths[1:-1]), "all"], rotation=30, ha="right")
show(fig, alt="; ".join(f"{name}: {found.signed[-1].mean():.2f} when {depths[-1]} of {len(layers)} layers are shuffled" for name, found in fallen.items()))

# %% [markdown]
# 1 is the same map, 0 is another, below 0 it is inverted: red where blue was. A map that stays high follows the **picture**, and
# would look convincing for many networks. Guided stays high longest. On the way back only what is positive passes, so the edges that the
# first layers see come through, whatever the layers above say. Only when the first layers are shuffled, too, does it fall; and not to 0.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Shuffle from the top
#
# Move **shuffled**, layer by layer. At which point would *you* have noticed? (The last number compares without the signs: a map that
# was turned from red to blue would count as the same.)

# %% tags=["widget"]
widgets.shuffled()

# %% [markdown] tags=["teacher"]
# 5 minutes. This is Adebayo et al. 2018. Guided keeps the edges of the photo. Multiplying by the input brings the photo back, too: a
# warning about gradient x input.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Test 4: do they agree with one another?
#
# If two methods answered the same question, they would put the pixels in the same order.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 06b.2: rank correlation
#
# Two maps have no common scale, so compare **ranks**: the weakest pixel gets 0, the next 1, and so on. Then the ordinary correlation of the ranks:
# subtract the mean, multiply, divide by both lengths. No two numbers of a map are equal here.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def rank_correlation(one, other):
    """Do two maps put the pixels in the same order: (H, W), (H, W) -> one number from -1 to 1, as a tensor."""
    # BEGIN SOLUTION: ranks of both maps, minus their mean; their product by the product of their lengths
    # hint: Two steps: numbers to ranks, then the correlation of the ranks. The first is the tricky one.
    # hint: values.flatten().argsort() says which pixel comes first. argsort of THAT says which rank each pixel has.
    # hint: a = one.flatten().argsort().argsort().float(); a = a - a.mean(); the same for b; return (a * b).sum() / (a.norm() * b.norm())
    a, b = (values.flatten().argsort().argsort().float() for values in (one, other))
    a, b = a - a.mean(), b - b.mean()
    return (a * b).sum() / (a.norm() * b.norm())
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
rank_correlation = check("06b.2", rank_correlation)

# %% slideshow={"slide_type": "skip"}
hint("06b.2")

# %% slideshow={"slide_type": "slide"}
table = spearman_matrix(every, constant=0.0)
one, other = every["SmoothGrad"][0, 0], every["SmoothGrad"][1, 0]  # of two scenes, and without equal numbers
assert abs(rank_correlation(one, other) - spearman(one[None, None], other[None, None])[0]) < 0.01  # yours and ours
fig, ax = plt.subplots(figsize=(11, 6.2), layout="constrained")
images.numbers(table, ax=ax, title="rank correlation of the maps, mean over the scenes", is_signed=True, limits=(-1, 1))
ax.set_xticks([72 * (k + 0.5) for k in range(len(every))], list(every), rotation=40, ha="right", fontsize=11)
ax.set_yticks([72 * (k + 0.5) for k in range(len(every))], list(every), fontsize=11)
show(fig, alt="A table of the rank correlations of all methods: " + "; ".join(
    f"{name} with the first method {value:.2f}" for name, value in zip(every, table[0].tolist(), strict=True)))

# %% [markdown]
# Only some relatives agree: guided with guided Grad-CAM, the gradient with gradient x input, Grad-CAM with occlusion (both are coarse).
# All others hardly do. Find integrated gradients and the same *from grey*: one method, two baselines, and hardly more alike than two
# methods. So "the saliency map of this picture" does not exist. There is only the answer of one method to its own question. (Most pixels
# are background, and count in these ranks as much as the thing.)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Test 5: take the pixels away
#
# If a map is right, its strongest pixels matter most. Take these away first: the class should go **early**. Or begin with the picture
# blurred, and put them in first: the class should come early.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 06b.3: a deletion curve
#
# Sort the pixels by falling numbers of the map. At step $k$ of `steps`, the first `round(k / steps * pixels)` of them are set to `fill`, in all
# colours. Write down the score at each step, from 0 to `steps`.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def deletion(score, image, map_, steps, fill):
    """The score as the strongest pixels go: a function, (1, C, H, W), (H, W), int, number -> (steps + 1,)."""
    # BEGIN SOLUTION: the order of the pixels; at each step a copy without the first of them, and its score
    # hint: The order is map_.flatten().argsort(descending=True). Pixels are columns of image.flatten(2), (1, C, H*W).
    # hint: For each k from 0 to steps: a fresh copy, its first round(k / steps * len(order)) pixels set to fill.
    # hint: pixels = image.flatten(2).clone(); pixels[:, :, order[:gone]] = fill; scores.append(score(pixels.view_as(image)))
    order = map_.flatten().argsort(descending=True)
    scores = []
    for k in range(steps + 1):
        pixels = image.flatten(2).clone()  # (1, C, H * W)
        pixels[:, :, order[: round(k / steps * len(order))]] = fill
        scores.append(score(pixels.view_as(image)))
    return torch.stack(scores)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
deletion = check("06b.3", deletion)

# %% slideshow={"slide_type": "skip"}
hint("06b.3")

# %% slideshow={"slide_type": "slide"}
some = {name: every[name] for name in ("gradient", "integrated gradients", "Grad-CAM", "occlusion")}
some["random"] = torch.rand(scenes.images[:, :1].shape, generator=torch.Generator().manual_seed(SEED))
fig, axes = plt.subplots(1, 2, figsize=(13, 4.2), layout="constrained")
areas = {}
for ax, walk, title in zip(axes, (curves.deletion, curves.insertion), ("strongest pixels taken away", "strongest pixels put in"), strict=True):
    found = {name: walk(honest, scenes.images, scenes.labels, map_, steps=10) for name, map_ in some.items()}
    areas[walk.__name__] = {name: curve.area.mean().item() for name, curve in found.items()}
    charts.lines({name: curve.scores.mean(dim=0).tolist() for name, curve in found.items()}, x=next(iter(found.values())).fractions.tolist(),
                 ax=ax, title=title, xlabel="share of the pixels", ylabel="probability of the class")
    ax.set_ylim(0, 1.05)
mine = deletion(lambda x: honest(x).softmax(dim=1)[0, scenes.labels[0]], scenes.images[:1], every["occlusion"][0, 0], 8, 0.5)  # yours
ours = curves.deletion(honest, scenes.images[:1], scenes.labels[:1], every["occlusion"][:1], steps=8).scores[0]
assert torch.allclose(mine.detach(), ours, atol=0.05)
show(fig, alt="; ".join(f"{walk}, area under the curve: " + ", ".join(f"{name} {value:.2f}" for name, value in area.items()) for walk, area in areas.items()))

# %% [markdown]
# Always compare with **random**. Taken away, the gradient's pixels are hardly better, and for half of the way worse. Put in, the first
# tenth of them brings a lot, and the next ones hardly anything: random noise overtakes them. And mind: a picture full of holes is one that
# the network has never seen. This test has its own trap. Even an empty picture has a class: to network A plain grey is a triangle. So
# most triangles never go.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Take them away yourself

# %% tags=["widget"]
widgets.removal()

# %% slideshow={"slide_type": "skip"}
quiz("06b.q2")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## All tests on one page
#
# One network, one set of scenes, all methods.

# %%
first, half = slice(0, 2 if FAST else 4), len(model_randomisation.weight_layers_top_down(honest, scenes.images[:1])) // 2
bright = scenes.images.sum(dim=1, keepdim=True)  # the picture itself as a map
areas["deletion"]["|input|"] = curves.deletion(honest, scenes.images, scenes.labels, bright, steps=10).area.mean().item()
rows = [[name, shares[name], None, areas["deletion"][name]] for name in ("random", "|input|")]
for name, map_ in every.items():
    kept = model_randomisation.sanity_check(honest, scenes.images[first], scenes.labels[first], all_methods.get_method(name), depths=(half,), seed=SEED)
    gone = curves.deletion(honest, scenes.images, scenes.labels, map_, steps=10).area.mean().item()
    rows.append([name, shares[name], kept.signed[-1].mean().item(), gone])
Table(["method", "share on what decides (large is good)", f"the same after {half} layers were shuffled (near 0 is good)",
       "area under deletion (small is good)"], rows, "Network A, and the same scenes for all")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Which would you take?
#
# - *Where does the network look?* Occlusion: coarse, but good in all three columns. Grad-CAM is quick and good in deletion, but its
#   8 x 8 places spill over the thing.
# - *Which pixels brought the score?* Integrated gradients, from a baseline that means "nothing here": from grey it is good in all three.
# - *What would a small change do?* The gradient. It never claimed more: in deletion it is no better than noise.
# - *Guided* looks best and fails the shuffle: it shows edges that the first layers see. In deletion it is no better than noise, either.
#
# Mind the grey: the background is grey, that baseline is, and so is what deletion and occlusion put in. A part of "good" is built in.

# %% [markdown] tags=["teacher"]
# 4 minutes. No method wins everywhere. Guided has a fair share on the thing, and hardly notices that the network was shuffled; taking its
# pixels away is no better than noise. Ask what a doctor, a judge, or an engineer should be shown.

# %% [markdown] tags=["bug-hunt"] slideshow={"slide_type": "skip"}
# ### Bug hunt: Grad-CAM
#
# This function was copied from notebook to notebook for years. The maps look right, after they were scaled from 0 to 1. Then a map that
# should be zero everywhere is not. Find the fault, mend it, and run the check.

# %% tags=["bug-hunt"] slideshow={"slide_type": "skip"}
def summed_maps(maps, gradients):
    """The weighted sum of Grad-CAM, before its ReLU: (C, h, w), (C, h, w) -> (h, w)."""
    weights = gradients.mean(dim=(1, 2))
    total = torch.ones(maps.shape[1:])
    for weight, one in zip(weights, maps, strict=True):
        total += weight * one
    return total


print("found:", summed_maps(torch.zeros(2, 1, 3), torch.rand(2, 1, 3)).tolist(), "for maps in which there is nothing")

# %% tags=["solution"] slideshow={"slide_type": "skip"}
def summed_maps(maps, gradients):
    """The weighted sum of Grad-CAM, before its ReLU: (C, h, w), (C, h, w) -> (h, w)."""
    weights = gradients.mean(dim=(1, 2))
    total = torch.zeros(maps.shape[1:])  # a sum begins with nothing
    for weight, one in zip(weights, maps, strict=True):
        total += weight * one
    return total

# %% tags=["check"] slideshow={"slide_type": "skip"}
summed_maps = check("06b.bug", summed_maps)

# %% [markdown] tags=["bug-hunt"] slideshow={"slide_type": "skip"}
# ### Bug hunt: the blank map
#
# "On the easy pictures my saliency maps are blank. Only on the hard ones I see something." This is the number of which the map takes
# the gradient. Find the fault, mend it, and run the check.

# %% tags=["bug-hunt"] slideshow={"slide_type": "skip"}
def evidence(logits, target):
    """The number that is explained: (K,), int -> number."""
    return logits.softmax(dim=0)[target]


easy = torch.tensor([14.0, 0.0, 1.0], requires_grad=True)
print("found: on an easy picture the gradient is", torch.autograd.grad(evidence(easy, 0), easy)[0].tolist())

# %% tags=["solution"] slideshow={"slide_type": "skip"}
def evidence(logits, target):
    """The number that is explained: (K,), int -> number."""
    return logits[target]  # a probability near 1 is flat

# %% tags=["check"] slideshow={"slide_type": "skip"}
evidence = check("06b.bug2", evidence)

# %% slideshow={"slide_type": "skip"}
progress()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three things to keep
#
# 1. A map can catch a cheat that no accuracy shows. So look.
# 2. Test the method before you believe its map: known truth, formulas, shuffled weights.
# 3. Methods disagree, since they answer different questions. Name the method, the target and the baseline.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## New words
#
# | word | meaning |
# |---|---|
# | Clever Hans | a network that is right for a reason that will not be there tomorrow |
# | ground truth | the pixels that decide, known because we drew them |
# | share inside | the part of the positive attribution that lies on the thing that decides |
# | sanity check | does the map change when what was learned is destroyed? |
# | rank correlation | do two maps put the pixels in the same order? |
# | deletion | taking away the strongest pixels first, and watching the score |
# | insertion | putting in the strongest pixels first, and watching the score |
#
# ## References
#
# - S. Lapuschkin et al.: *Unmasking Clever Hans predictors*, Nature Communications 10, 2019.
# - J. Adebayo et al.: *Sanity checks for saliency maps*, NeurIPS 2018, arXiv:1810.03292.
# - L. Arras, A. Osman, W. Samek: *CLEVR-XAI*, Information Fusion 81, 2022 (share inside a known mask).
# - V. Petsiuk, A. Das, K. Saenko: *RISE*, BMVC 2018, arXiv:1806.07421 (deletion and insertion).
# - S. Hooker et al.: *A benchmark for interpretability methods*, NeurIPS 2019, arXiv:1806.10758 (the trap of deletion).
# - M. Sundararajan et al.: *Axiomatic attribution*, ICML 2017, arXiv:1703.01365 (completeness).
