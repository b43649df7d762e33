# %% [markdown] slideshow={"slide_type": "slide"}
# # 10 · Adversarial noise
#
# **How little must a picture change to change the answer?**
#
# You will be able to
#
# - change a picture by two levels of 255, so that a network says something else;
# - say why noise at random does no harm, and why a nearly linear network is easy to fool;
# - write the attacks FGSM and PGD, and keep to a budget;
# - name what such pictures do besides: they carry over to other networks, one noise fits all, a sticker wins;
# - test a defence, and say what hides behind "the attack found nothing".
#
# **Minutes:** 55 for the lecture, 35 for the exercises.
# **Needs:** lectures 06a and 07. No network.

# %%
import matplotlib.pyplot as plt
import torch

from cnnlab.course import TODO, check, hint, predict, progress, quiz
from cnnlab.data import digits, photos, sets
from cnnlab.drawing import Table, charts, images, show
from cnnlab.methods import adversarial, targets
from cnnlab.nets import models, sweeps
from cnnlab.widgets import adversarial as widgets
from cnnlab.widgets import hardening

F = torch.nn.functional

# %% tags=["parameters"]
FAST = False
SEED = 0
NET = "photonet"
DATA = "photos"
PHOTO = "cat"
LEVELS = 2

# %% slideshow={"slide_type": "slide"}
model = models.load(NET)
colours, side = model.input_size[0], model.input_size[-1]
eps = LEVELS / 255
data = sets.load(DATA, model.input_size, n=8 if FAST else 24, seed=SEED).images
photo = photos.load(PHOTO, side) if DATA == "photos" else data[:1]
photo = photo.mean(dim=1, keepdim=True) if colours == 1 else photo


def says(picture):
    """What the network says, and how sure it is: "tabby cat 76 %"."""
    chances = model(picture).softmax(dim=1)[0]
    return f"{targets.name(model, int(chances.argmax()))} {chances.max().item():.0%}"


attack = adversarial.pgd(model, photo, eps, seed=SEED)
show(images.row([photo, 0.5 + 20 * attack.noise, attack.pictures], titles=[says(photo), "what was added, x 20", says(attack.pictures)]),
     alt=f"A picture, which the network calls {says(photo)}; the change, enlarged twenty times, looks like coloured noise; "
         f"the sum looks like the first picture, and the network calls it {says(attack.pictures)}.")
assert attack.linf.item() <= eps + 1e-6 and (NET != "photonet" or PHOTO != "cat" or attack.success.all())

# %% [markdown]
# Left and right you see the same cat. No number of the right picture differs from the left one by more than **2 of 255**. The
# network was sure of the cat. Now it is as sure of something else. What was added looks like noise. **Is it noise?**

# %% [markdown] tags=["teacher"]
# 3 minutes. Let the room look for the difference first: nobody finds it, and a projector hides even more. Then say: this is a small
# network of our own, which names four of five test pictures rightly. Large ones are fooled with changes as small as these.

# %% tags=["predict"] slideshow={"slide_type": "subslide"}
control = adversarial.random_noise(model, data, eps, seed=SEED)
predict(
    "10.p1",
    f"Now every number of a picture moves by the same {LEVELS} of 255, but up or down by the toss of a coin. "
    "Of 100 pictures, how many get another name?",
    truth=lambda: round(100 * control.share),
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Noise is harmless. This is no noise.

# %%
kinds = {"random": control, "one step (FGSM)": adversarial.fgsm(model, data, eps), "many steps (PGD)": adversarial.pgd(model, data, eps, steps=5, seed=SEED)}
fig, ax = plt.subplots(figsize=(8, 2.8), layout="constrained")
charts.bars({kind: round(found.share, 2) for kind, found in kinds.items()}, ax=ax, title=f"share of {len(data)} pictures with another name, {LEVELS} of 255")
ax.set_xlim(0, 1.2)
show(fig, alt="; ".join(f"{kind} change: {found.share:.0%} of the pictures get another name" for kind, found in kinds.items()))
assert kinds["many steps (PGD)"].share >= kinds["random"].share

# %% [markdown]
# The same pictures, the same size of change in every pixel. Only the **signs** differ. (Pieces of photos, many of things that the
# network has no word for. So we count how often it changes *its own* answer.) A picture made to fool is called an **adversarial example**.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## First, the rules of the game
#
# Without a rule the game is easy: paint a dog. So an attack gets a **budget**. Two are usual, and both count in pictures from 0 to 1:
#
# - $L_\infty$: **no number** may change by more than $\varepsilon$. A little, everywhere.
# - $L_2$: the **length** of the change, the root of the sum of squares, is at most $\varepsilon$. Much in a few pixels, or little in many.
#
# And the result must be a picture: every number stays between 0 and 1.

# %% slideshow={"slide_type": "subslide"}
fig, ax = plt.subplots(figsize=(5.4, 4.2), layout="constrained")
ax.add_patch(plt.Rectangle((0.66, 0.3), 0.34, 0.4, facecolor="#0072B2", alpha=0.25))
ax.add_patch(plt.Rectangle((0.66, 0.3), 0.4, 0.4, fill=False, edgecolor="#0072B2", linewidth=2.5))
ax.add_patch(plt.Circle((0.86, 0.5), 0.2, fill=False, edgecolor="#D55E00", linewidth=2.5, linestyle="--"))
ax.add_patch(plt.Rectangle((0, 0), 1, 1, fill=False, edgecolor="black", linewidth=1.5))
ax.plot(0.86, 0.5, "ko")
for text, place, colour in (("the picture", (0.72, 0.53), "black"), ("$L_\\infty$", (0.68, 0.73), "#0072B2"), ("$L_2$", (0.88, 0.63), "#D55E00"), ("all pictures: 0 to 1", (0.05, 0.06), "black")):
    ax.annotate(text, place, fontsize=14, color=colour)
ax.set(xlim=(-0.05, 1.15), ylim=(-0.05, 1.05), aspect="equal", xlabel="first pixel", ylabel="second pixel")
show(fig, alt="A picture of two pixels is a point in a square from 0 to 1. Around it a small square, the budget of L infinity, and a dashed circle, that of L2. Both are cut off where they leave the large square.")

# %% [markdown]
# A picture of two pixels is a point. The small square is one budget, the dashed circle the other. Outside the large square there are no
# pictures. A real photo is a point in **12 288** dimensions. There, squares and circles are far less alike.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Which way to go?
#
# We want the network's **loss** to rise: the cross-entropy, minus the logarithm of the probability of the right class. The gradient
# says for each pixel which way (lecture 06a). And $L_\infty$ lets every pixel go as far as $\varepsilon$. So go all the way, each in its direction:
#
# $$x' = x + \varepsilon \cdot \mathrm{sign}\left(\frac{\partial\, \mathrm{loss}}{\partial x}\right)$$
#
# One pass there, one pass back, one step: the **fast gradient sign method**, FGSM (Goodfellow et al. 2015).
#
# Lecture 07 climbed for a class. This is the same climb, with a short leash.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 10.1: FGSM
#
# `loss` is a function from a picture to one number. Go one step up: every pixel by `eps`, in the direction in which the loss rises. The result
# is a picture, so its numbers are in [0, 1], and it needs no gradient of its own.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def fgsm(loss, image, eps):
    """One step of eps in every pixel, up the loss: a function, (1, C, H, W), number -> (1, C, H, W)."""
    # BEGIN SOLUTION: a copy that asks for gradients; the sign of its gradient, eps times, added and clamped
    # hint: The gradient at the picture as in 06a.1. Only its sign is used.
    # hint: leaf = image.clone().requires_grad_(); slope = torch.autograd.grad(loss(leaf), leaf)[0]
    # hint: return (image + eps * slope.sign()).clamp(0, 1)
    leaf = image.clone().requires_grad_()
    slope = torch.autograd.grad(loss(leaf), leaf)[0]
    return (image + eps * slope.sign()).clamp(0, 1)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
fgsm = check("10.1", fgsm)

# %% slideshow={"slide_type": "skip"}
hint("10.1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One step

# %%
first = model(photo).argmax(dim=1)  # the class that it names now


def loss(picture):
    """Minus the logarithm of the probability of the first answer."""
    return F.cross_entropy(model(picture), first)


steps = [fgsm(loss, photo, level * eps).detach() for level in (0, 0.5, 1, 4)]  # yours, if it is right
show(images.row(steps, titles=[f"{level * LEVELS:g}: {says(step)}" for level, step in zip((0, 0.5, 1, 4), steps, strict=True)], side=2.9),
     alt="; ".join(f"after a step of {level * LEVELS:g} of 255 the network says {says(step)}" for level, step in zip((0, 0.5, 1, 4), steps, strict=True)))
ours = adversarial.fgsm(model, photo, eps)
assert torch.equal(ours.pictures > photo, steps[2] > photo) and loss(steps[2]) > loss(photo)

# %% [markdown]
# Above each picture: the step in levels of 255, and what the network says. Only at the largest step one can see something: a fine grain.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Why does so little do so much?
#
# Goodfellow's answer: because networks are **nearly linear**, and because there are **so many pixels**.
#
# Take a linear network: the logit is $w \cdot x$. Every pixel may move by $\varepsilon$. The worst for the logit is to move each against its weight:
#
# $$w \cdot (x - \varepsilon\, \mathrm{sign}(w)) = w \cdot x - \varepsilon \sum_i |w_i|$$
#
# No single step can be seen. But all of them pull the same way. With 12 288 numbers, 12 288 small terms add up.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 10.2: the largest drop
#
# The logit is linear near the picture, with this gradient. By how much can it fall within the budget? For `"linf"` each pixel goes against
# the sign of its slope. For `"l2"` the whole step, of length eps, goes straight down the slope.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def largest_drop(gradient, eps, norm):
    """By how much a linear logit can fall: (1, C, H, W), number, "linf" or "l2" -> one number, as a tensor."""
    # BEGIN SOLUTION: eps times the sum of all |g| for linf, eps times the length of g for l2
    # hint: The drop is the sum of (slope times step) over all pixels. Which step is the best within the budget?
    # hint: For linf the step of pixel i is eps * sign(g_i), so it brings eps * |g_i|. For l2 the step is eps * g / |g|.
    # hint: return eps * gradient.abs().sum() if norm == "linf" else eps * gradient.norm()
    return eps * gradient.abs().sum() if norm == "linf" else eps * gradient.norm()
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
largest_drop = check("10.2", largest_drop)

# %% slideshow={"slide_type": "skip"}
hint("10.2")

# %% slideshow={"slide_type": "slide"}
leaf = photo.clone().requires_grad_()
(slope,) = torch.autograd.grad(model(leaf)[0, first.item()], leaf)
levels = torch.tensor([0, 0.25, 0.5, 1, 1.5, 2]) * LEVELS
coin = torch.randint(0, 2, photo.shape, generator=torch.Generator().manual_seed(SEED)) * 2 - 1
with torch.no_grad():
    before = model(photo)[0, first.item()]
    fell, tossed = ([(before - model((photo - level / 255 * way).clamp(0, 1))[0, first.item()]).item() for level in levels] for way in (slope.sign(), coin))
foretold = [largest_drop(slope, level / 255, "linf").item() for level in levels]  # yours, if it is right
fig, ax = plt.subplots(figsize=(8.6, 3.6), layout="constrained")
charts.lines({"predicted": foretold, "measured": fell, "random signs": tossed}, x=levels.tolist(), ax=ax, title="how far the logit falls", xlabel="change of every number, of 255", ylabel="drop")
show(fig, alt=f"Drop of the logit against the size of the change. At {levels[-1]:g} of 255 the linear prediction is {foretold[-1]:.1f}, measured were {fell[-1]:.1f}, with random signs {tossed[-1]:.1f}.")
assert fell[2] > 5 * abs(tossed[2]) and fell[2] > 0

# %% [markdown]
# *Predicted:* $\varepsilon$ times the sum of all slopes, from **one** gradient. For the first half level of a change the network follows it. Then it bends. But it bends
# too late: long before, the answer is another one.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### And at random?
#
# With random signs, half of the pixels pull up and half pull down. What is left is about $\varepsilon\,\|w\|_2$: the *root* of the sum of squares.

# %%
many, few = slope.abs().sum().item(), slope.norm().item()
print(f"{slope.numel()} numbers. All slopes the right way: {many:.0f}. At random, about: {few:.1f}. That is {many / few:.0f} times less.")
assert many / few > 8

# %% [markdown] slideshow={"slide_type": "fragment"}
# If all slopes were of one size, it would be $\sqrt{12\,288} = 111$ times less. The more pixels, the wider the gap. **Random noise says nothing about the worst case.**

# %% slideshow={"slide_type": "skip"}
quiz("10.q1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## A map of the neighbourhood
#
# Stand at the photo. To the right: the signs of the gradient. Upwards: random signs of the same size. At each place, how sure is the
# network of its first answer?

# %%
n, reach = (5, 4) if FAST else (13, 4)
places = torch.linspace(-reach, reach, n) * eps
ways = ours.noise.sign(), coin
cells = torch.cat([photo + right * ways[0] + up * ways[1] for up in places.flip(0) for right in places]).clamp(0, 1)
with torch.no_grad():
    sure = torch.cat([model(part) for part in cells.split(64)]).softmax(dim=1)[:, first.item()].view(n, n)
fig, ax = plt.subplots(figsize=(6, 4.4), layout="constrained")
images.magnitude(sure, ax=ax, limit=1.0, title=f"probability of {targets.name(model, first.item())}")
ax.plot((n - 1) / 2, (n - 1) / 2, "o", color="#D55E00", markersize=12)
ax.set_xlabel(f"along the gradient: ±{reach * LEVELS} of 255", fontsize=13)
ax.set_ylabel("along random signs: the same", fontsize=13)
show(fig, alt="A square map of probabilities with the photo in the middle. Along random signs, up and down, it hardly changes. Along the gradient, to the right, it falls to zero at once.")

# %% [markdown]
# Upwards and downwards: nothing happens. To the right it falls off a cliff, close by. To the left the network gets *surer*. In nearly every direction the photo lies
# deep within its class. In **one** it lies at the edge. Chance does not find that one. The gradient does.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One dial, three kinds of noise
#
# Turn **eps** up, slowly. When does each of the three change its name? When do *you* see the change? Try other pictures, and your own.

# %% tags=["widget"]
widgets.dial()

# %% [markdown] tags=["teacher"]
# 5 minutes. Start at 0. Ask the room to raise a hand when they see a change. Then rocket: photonet calls it a lighthouse, and that is
# hard to break. Then gravel, whose name is a guess anyway: how sure a network is, is not how safe it is. PGD here: 8 steps.
