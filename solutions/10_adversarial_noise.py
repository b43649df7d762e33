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
# - name what such pictures do besides: they carry over to other networks, one noise fits many, a sticker wins;
# - test a defence, and say what hides behind "the attack found nothing".
#
# **Minutes:** 55 for the lecture, 35 for the exercises.
# **Needs:** lectures 06a and 07. No internet.

# %%
import matplotlib.pyplot as plt
import torch

from cnnlab.course import TODO, attack_table, check, hint, predict, progress, quiz
from cnnlab.data import datasets, digits, photos
from cnnlab.drawing import Table, charts, images, show
from cnnlab.methods import adversarial, targets
from cnnlab.nets import models
from cnnlab.nets.training import sweeps, train
from cnnlab.widgets.lessons import adversarial as widgets, live_adversarial_training

F = torch.nn.functional

# %% tags=["parameters"]
FAST = False  # True: fewer pictures and steps
SEED = 0
NET = "photonet"  # or "shapesnet" with "scenes", "simpleconvnet" with "digits"
DATA = "photos"  # or "scenes", "digits": what the network was made for
PHOTO = "cat"  # or "astronaut", "coffee" ...: photos.names() has them all
LEVELS = 2  # of 255: by how much the first picture may be changed

# %% slideshow={"slide_type": "slide"}
model = models.load(NET)
colours, side = model.input_size[0], model.input_size[-1]
eps = LEVELS / 255
data = datasets.load(DATA, model.input_size, n=8 if FAST else 24, seed=SEED).images
names = (PHOTO, "temple", "flower", "rocket", "coffee")
album = [photos.load(name, side) for name in names] if DATA == "photos" else data[:5].split(1)
album = torch.cat([one if colours == 3 else one.mean(dim=1, keepdim=True) for one in album])
photo = album[:1]


def says(image):
    """What the network says, and how sure it is: "tabby cat 76 %"."""
    chances = model(image).softmax(dim=1)[0]
    return f"{targets.class_name(model, int(chances.argmax()))} {chances.max().item():.0%}"


attack = adversarial.pgd(model, photo, eps, seed=SEED)
show(images.row([photo, 0.5 + 20 * attack.noise, attack.images],
                titles=[says(photo), "what was added, x 20", says(attack.images)]),
     alt=f"A picture, which the network calls {says(photo)}; the change, enlarged twenty times, looks "
         "like coloured noise; the sum looks like the first picture, and the network calls it "
         f"{says(attack.images)}.")
assert attack.linf.item() <= eps + 1e-6 and (NET != "photonet" or PHOTO != "cat" or attack.success.all())

# %% [markdown]
# Left and right you see the same cat. No number of the right picture differs from the left one by more than **2 of 255**. The
# network was sure of the cat. Now it is as sure of something else. What was added looks like noise. **Is it noise?**

# %% [markdown] tags=["teacher"]
# 3 minutes. Let the room look for the difference first: nobody finds it, and a projector hides even more. Then say: this is a small
# network of our own, which names four of five test pictures rightly. Large ones are fooled with changes as small as these.

# %% tags=["predict"] slideshow={"slide_type": "subslide"}
control = adversarial.random_noise(model, data, eps, seed=SEED, batch=8)
predict(
    "10.p1",
    f"Now every number of a picture moves by the same {LEVELS} of 255, but up or down by the toss of a "
    "coin. Of 100 pictures, how many get another name?",
    truth=lambda: round(100 * control.success_rate),
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Noise is harmless. This is no noise.

# %%
kinds = {"random": control,
         "one step (FGSM)": adversarial.fgsm(model, data, eps, batch=8),
         "many steps (PGD)": adversarial.pgd(model, data, eps, steps=5, seed=SEED, batch=8)}
fig, ax = plt.subplots(figsize=(8, 2.8), layout="constrained")
charts.bars({kind: round(found.success_rate, 2) for kind, found in kinds.items()}, ax=ax,
            title=f"share of {len(data)} pictures with another name, {LEVELS} of 255")
ax.set_xlim(0, 1.2)
show(fig, alt="; ".join(f"{kind} change: {found.success_rate:.0%} of the pictures get another name"
                        for kind, found in kinds.items()))
with torch.no_grad():
    two = torch.cat([model(part).softmax(dim=1).topk(2).values for part in data.split(8)])
lead = two[:, 0] - two[:, 1]  # of the first name over the second
turned = lead[control.success]
print(f"The coin turned {len(turned)} of {len(data)}. There the first name led the second by "
      f"{', '.join(f'{each:.0%}' for each in turned.tolist()) or 'nothing'}.")
print(f"Of all pictures, half have a lead of more than {lead.median():.0%}.")
assert kinds["many steps (PGD)"].success_rate >= kinds["random"].success_rate

# %% [markdown]
# The same pictures, the same size of change in every pixel. Only the **signs** differ. The few that a coin turns were tossed up already:
# two names, almost equally likely. (These are pieces of photos, many of things that the network has no word for. So we count how often it
# changes *its own* answer.) A picture made to fool is called an **adversarial example** (Szegedy et al. 2014).

# %% [markdown] slideshow={"slide_type": "slide"}
# ## First, the rules of the game
#
# Without a rule the game is easy: paint a dog. So an attack gets a **budget**. Two are usual, and both count in pictures from 0 to 1:
#
# - $L_\infty$: **no number** may change by more than $\varepsilon$. A little, everywhere.
# - $L_2$: the **length** of the change, the root of the sum of squares, is at most $\varepsilon$. Much in a few pixels, or little in many.
#
# And the result must be a picture: every number stays between 0 and 1.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### A picture of two pixels

# %%
fig, ax = plt.subplots(figsize=(5.4, 4.2), layout="constrained")
ax.add_patch(plt.Rectangle((0.66, 0.3), 0.34, 0.4, facecolor="#0072B2", alpha=0.25))
ax.add_patch(plt.Rectangle((0.66, 0.3), 0.4, 0.4, fill=False, edgecolor="#0072B2", linewidth=2.5))
circle = plt.Circle((0.86, 0.5), 0.2, fill=False, edgecolor="#D55E00", linewidth=2.5, linestyle="--")
ax.add_patch(circle)
ax.add_patch(plt.Rectangle((0, 0), 1, 1, fill=False, edgecolor="black", linewidth=1.5))
ax.plot(0.86, 0.5, "ko")
ax.annotate("the picture", (0.86, 0.5), (0.16, 0.48), fontsize=16,
            arrowprops={"arrowstyle": "-", "shrinkB": 6})
for text, position, colour in (("$L_\\infty$", (0.68, 0.74), "#0072B2"), ("$L_2$", (0.84, 0.58), "#D55E00"),
                            ("all pictures: 0 to 1", (0.05, 0.06), "black")):
    ax.annotate(text, position, fontsize=16, color=colour)
ax.set(xlim=(-0.05, 1.15), ylim=(-0.05, 1.05), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
ax.set_xlabel("first pixel", fontsize=14)
ax.set_ylabel("second pixel", fontsize=14)
ax.tick_params(labelsize=13)
show(fig, alt="A picture of two pixels is a point in a square from 0 to 1. Around it a small square, "
              "the budget of L infinity, and a dashed circle, that of L2. "
              "Both are cut off where they leave the large square.")

# %% [markdown]
# A picture of two pixels is a point. The small square is one budget, the dashed circle the other. Outside the large square there are no
# pictures. A photo is a point in **12 288** dimensions. There the corner of such a square is 111 times as far away as the middle of a side,
# $\sqrt{12\,288} = 111$. So a square holds far more than the circle in it.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Which way to go?
#
# We want the network's **loss** to rise: the cross-entropy, minus the logarithm of the probability of the right class. (For the cat we
# take the network's first answer for right.) The gradient says for each pixel which way (lecture 06a). And $L_\infty$ lets every pixel go as far as $\varepsilon$. So go all the way, each in its direction:
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
# is a picture, so its numbers are in [0, 1].

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def fgsm(loss, image, eps):
    """One step of eps in every pixel, up the loss: a function, (1, C, H, W), number -> (1, C, H, W)."""
    # BEGIN SOLUTION: a copy that asks for gradients; the sign of its gradient, times eps, added; clamped
    # hint: The gradient at the picture as in 06a.1. Only its sign is used.
    # hint: leaf = image.clone().requires_grad_(); slope = torch.autograd.grad(loss(leaf), leaf)[0]
    # hint: return (image + eps * slope.sign()).clamp(0, 1)
    leaf = image.clone().requires_grad_()
    gradient = torch.autograd.grad(loss(leaf), leaf)[0]
    return (image + eps * gradient.sign()).clamp(0, 1)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
fgsm = check("10.1", fgsm)

# %% slideshow={"slide_type": "skip"}
hint("10.1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One step

# %%
first = model(photo).argmax(dim=1)  # the class that it names now


def loss(image):
    """Minus the logarithm of the probability of the first answer."""
    return F.cross_entropy(model(image), first)


times = (0, 0.5, 1, 4)
steps = [fgsm(loss, photo, level * eps).detach() for level in times]  # yours, if it is right
sizes = [f"{level * LEVELS:g}" for level in times]
show(images.row(steps, side=2.9,
                titles=[f"{size}: {says(step)}" for size, step in zip(sizes, steps, strict=True)]),
     alt="; ".join(f"after a step of {size} of 255 the network says {says(step)}"
                   for size, step in zip(sizes, steps, strict=True)))
ours = adversarial.fgsm(model, photo, eps)
# A slope of nearly zero may have either sign.
agree = (ours.images - steps[2]).abs().lt(1e-4).float().mean()
assert NET != "photonet" or (agree > 0.99 and loss(steps[2]) > loss(photo))

# %% [markdown]
# Above each picture: the step in levels of 255, and what the network says. Only at the largest step one can see something: a grain of colours.

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
    """By how much a linear logit can fall: (1, C, H, W), number, "linf" or "l2" -> one number."""
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

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Predicted, and measured

# %%
leaf, name = photo.clone().requires_grad_(), first.item()
(gradient,) = torch.autograd.grad(model(leaf)[0, name], leaf)
levels = torch.linspace(0, 2, 9) * LEVELS
coin = torch.randint(0, 2, photo.shape, generator=torch.Generator().manual_seed(SEED)) * 2 - 1
with torch.no_grad():
    worst, random = (
        torch.cat([model((photo - level / 255 * way).clamp(0, 1)) for level in levels])
        for way in (gradient.sign(), coin)
    )
fell, tossed = ((logits[0, name] - logits[:, name]).tolist() for logits in (worst, random))
foretold = [largest_drop(gradient, level / 255, "linf").item() for level in levels]  # yours, if it is right
lost = [size for size, logits in zip(levels.tolist(), worst, strict=True) if logits.argmax() != name][:1]
fig, ax = plt.subplots(figsize=(8.6, 3.6), layout="constrained")
charts.lines({"predicted": foretold, "measured": fell, "random signs": tossed}, x=levels.tolist(), ax=ax,
             title="how far the logit falls", xlabel="change of every number, of 255", ylabel="drop")
for size in lost:
    ax.axvline(size, color="0.4", linestyle=":", linewidth=2)
    ax.annotate("another name", (size, 0.9 * foretold[-1]), (-6, 0), textcoords="offset points",
                ha="right", fontsize=14)
show(fig, alt=f"Drop of the logit against the size of the change. At {levels[-1]:g} of 255 the linear "
              f"prediction is "
              f"{foretold[-1]:.1f}, measured were {fell[-1]:.1f}, with random signs {tossed[-1]:.1f}. "
              + "".join(f"From {size:g} of 255 on the picture has another name." for size in lost))
assert fell[4] > abs(tossed[4])

# %% [markdown]
# *Predicted:* $\varepsilon$ times the sum of all slopes, from **one** gradient. For the first level the network nearly follows it. Then it
# bends. But it bends too late: at the dotted line the answer is already another one.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### And at random?
#
# With random signs, half of the pixels pull up and half pull down. What is left, up or down, is about $\varepsilon\,\|w\|_2$: the *root* of
# the sum of squares. (Our network is not linear. Here its slopes at the photo stand for $w$.)

# %%
many, few = (largest_drop(gradient, eps, norm).item() for norm in ("linf", "l2"))
print(f"{gradient.numel()} numbers, each moved by {LEVELS} of 255. "
      f"All the right way, the logit falls by {many:.1f}.")
print(f"At random it moves by about {few:.2f}. That is {many / few:.0f} times less.")
assert many / few > 4

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
positions = torch.linspace(-reach, reach, n) * eps
uphill = ours.noise.sign()
cells = [photo + right * uphill + up * coin for up in positions.flip(0) for right in positions]
with torch.no_grad():
    sure = torch.cat([model(cell.clamp(0, 1)) for cell in torch.cat(cells).split(16)])
sure = sure.softmax(dim=1)[:, first.item()].view(n, n)
fig, ax = plt.subplots(figsize=(6, 4.4), layout="constrained")
images.magnitude(sure, ax=ax, limit=1.0, title=f"probability of {targets.class_name(model, first.item())}")
ax.plot((n - 1) / 2, (n - 1) / 2, "o", color="#D55E00", markersize=12)
ax.set_xlabel(f"along the gradient: ±{reach * LEVELS} of 255", fontsize=13)
ax.set_ylabel("along random signs: the same", fontsize=13)
show(fig, alt="A square map of probabilities with the photo in the middle. Along random signs, up and "
              "down, it hardly changes. Along the gradient, to the right, it falls to zero at once.")

# %% [markdown]
# Upwards and downwards: nothing happens. To the right it falls off a cliff, close by. To the left the network gets *surer*. In nearly every direction the photo lies
# deep within its class. In **very few** it lies at the edge. Chance does not find them. The gradient does.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One dial, three kinds of noise
#
# Turn **eps** up, slowly. When does each of the three change its name? When do *you* see the change? Try other pictures, and your own.

# %% tags=["widget"]
widgets.dial()

# %% [markdown] tags=["teacher"]
# 5 minutes. Start at 0. Ask the room to raise a hand when they see a change. Then rocket: photonet calls it a lighthouse, and that is
# hard to break. Then gravel, whose name is a guess anyway: how sure a network is, is not how safe it is. PGD here: 8 steps.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Many small steps
#
# The slope holds at the photo. A step further it is another one. So go slowly:
#
# 1. a small step by the sign of the slope;
# 2. **back into the budget**, where the step left it;
# 3. look again, and repeat.
#
# This is **projected gradient descent**, PGD (Madry et al. 2018). "Projected" is step 2: to the nearest picture that is allowed. Best
# start at a random place within the budget, and try more than once.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 10.3: back into the budget
#
# `moved` left the budget around `original`. For `"linf"` cut every number of the **change** down to at most eps. For `"l2"` make the change of a
# picture shorter, if it is longer than eps; each picture of the batch by itself. In the end the result is a picture in [0, 1].

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def project(moved, original, eps, norm):
    """The change cut down to eps: two of (N, C, H, W), number, norm -> (N, C, H, W) in [0, 1]."""
    # BEGIN SOLUTION: the change; cut, or made shorter; added to the original and clamped
    # hint: Both norms are about change = moved - original. Only at the end comes the picture, in [0, 1].
    # hint: linf: change.clamp(-eps, eps). l2: length = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1), one for each picture.
    # hint: For l2: change = change * (eps / length.clamp(min=1e-12)).clamp(max=1). Then (original + change).clamp(0, 1).
    change = moved - original
    if norm == "linf":
        change = change.clamp(-eps, eps)
    else:
        length = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        change = change * (eps / length.clamp(min=1e-12)).clamp(max=1)
    return (original + change).clamp(0, 1)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
project = check("10.3", project)

# %% slideshow={"slide_type": "skip"}
hint("10.3")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### One step, and many

# %%
once = fgsm(loss, photo, eps).detach()
image, losses = photo, [loss(photo).item()]
for _ in range(4 if FAST else 12):
    moved = fgsm(loss, image, eps / 4)  # this and the next line are yours, if they are right
    image = project(moved, photo, eps, "linf").detach()
    losses.append(loss(image).item())
fig, ax = plt.subplots(figsize=(8.6, 3.4), layout="constrained")
charts.lines({"many steps": losses, "one step": [loss(once).item()] * len(losses)}, ax=ax,
             title=f"both within {LEVELS} of 255", xlabel="steps", ylabel="loss")
show(fig, alt=f"The loss of the first answer: {losses[0]:.1f} before, "
              f"{loss(once).item():.1f} after one large step, "
              f"{losses[-1]:.1f} after {len(losses) - 1} small ones.")
print(f"one step: {says(once)}; {len(losses) - 1} small steps: {says(image)}")
assert (image - photo).abs().max() <= eps + 1e-6 and losses[-1] > losses[0]

# %% [markdown]
# The same budget, a higher loss. FGSM is the quick look. **PGD is the one to test with**: what it does not find in many steps, from several
# starts, is not easy to find. Unless somebody has hidden the slope. We shall come to that.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## From one photo to many
#
# Measured once, on photonet, with photos that it has never seen and names rightly.

# %%
rows = [row for row in attack_table.load() if row.source.startswith("Tiny")]
doses = [row.eps255 for row in rows]
fig, axes = plt.subplots(1, 2, figsize=(12, 3.8), layout="constrained")
charts.lines({kind: [getattr(row, kind.lower()) for row in rows] for kind in ("noise", "FGSM", "PGD")},
             x=doses, ax=axes[0], title="share with another name", xlabel="eps, of 255")
axes[0].set_ylim(-0.06, 1.05)
charts.lines({kind: [getattr(row, kind) for row in rows] for kind in ("predicted", "measured")}, x=doses,
             ax=axes[1], title="how far the logit falls (mean)", xlabel="eps, of 255")
show(fig, alt="; ".join(f"eps {row.eps255} of 255: noise {row.noise:.0%}, FGSM {row.fgsm:.0%}, "
                        f"PGD {row.pgd:.0%} get another name; "
                        f"the logit should fall by {row.predicted:.1f} and falls by {row.measured:.1f}"
                        for row in rows))
print(f"{rows[0].images} photos, {rows[0].source}")
assert all(10 * row.noise < row.fgsm <= row.pgd for row in rows)

# %% [markdown]
# At 1 of 255 some photos already have another name, at 4 of 255 most of them. Noise of the same size: hardly any. On the right: the linear
# prediction is good for the smallest steps and too large for wide ones. By then the name is long gone.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The same length, spent otherwise
#
# The change above has a length, too. What does an attack do that may spend **this length** as it likes?

# %%
spent = attack.l2.item()
longer = adversarial.pgd(model, photo, spent, norm="l2", seed=SEED)
pair = {"linf": attack, "l2": longer}
drawn = {}
for norm, found in {"$L_\\infty$": attack, "$L_2$": longer}.items():
    drawn[f"{norm}, x 10"] = (0.5 + 10 * found.noise).clamp(0, 1)
    drawn[f"{norm}: {says(found.images)}"] = found.images
show(images.row(list(drawn.values()), titles=list(drawn), side=2.9),
     alt="; ".join(f"{norm}: the largest change of a number is {255 * found.linf.item():.0f} of 255, "
                   "the network says "
                   f"{says(found.images)}" for norm, found in pair.items()))
for norm, found in pair.items():
    most = 255 * found.linf.item()
    print(f"{norm:4}: length {found.l2.item():.2f}, the largest change of a number {most:.1f} of 255")
assert longer.l2.item() <= spent * 1.0001

# %% [markdown]
# $L_\infty$: a grain of one strength everywhere. $L_2$: strong where the slope is steep, next to nothing elsewhere. Neither is "how different it looks to us": no
# formula agrees with our eyes every time. These two are used because they can be computed.

# %% [markdown] tags=["bug-hunt"] slideshow={"slide_type": "skip"}
# ### Bug hunt: the epsilon that shrank
#
# Many networks are trained on normalised pictures, and the normalisation is done outside: subtract a mean, divide by a deviation. Somebody attacks such
# a network with eps = 8/255, and reports that it is quite robust. Find the fault, mend it, and run the check.

# %% tags=["bug-hunt"] slideshow={"slide_type": "skip"}
def fast_sign(gradient_of, image, eps, mean, std):
    """FGSM on a network that is normalised outside.

    Type: a function, (1, C, H, W), number, (1, C, 1, 1), (1, C, 1, 1) -> (1, C, H, W).
    """
    x = (image - mean) / std
    moved = x + eps * gradient_of(x).sign()
    return (moved * std + mean).clamp(0, 1)


half, quarter = torch.full((1, 1, 1, 1), 0.5), torch.full((1, 1, 1, 1), 0.25)
change = fast_sign(torch.ones_like, half, 8 / 255, half, quarter) - half
print(f"found: asked for a change of 8 of 255, got {255 * change.item():.0f} of 255")

# %% tags=["solution"] slideshow={"slide_type": "skip"}
def fast_sign(gradient_of, image, eps, mean, std):
    """FGSM on a network that is normalised outside.

    Type: a function, (1, C, H, W), number, (1, C, 1, 1), (1, C, 1, 1) -> (1, C, H, W).
    """
    x = (image - mean) / std
    moved = x + eps / std * gradient_of(x).sign()  # eps counts in pictures from 0 to 1
    return (moved * std + mean).clamp(0, 1)

# %% tags=["check"] slideshow={"slide_type": "skip"}
fast_sign = check("10.bug", fast_sign)

# %% [markdown] slideshow={"slide_type": "skip"}
# It makes an attack look weak, and a network look strong: nobody complains about good news. That is why the networks of this course normalise
# **inside**, in their first layer.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Where to?
#
# So far: *away* from the answer. An attack can also lead **to** a class: make the loss of that class small instead. Any of the twenty?

# %% tags=["widget"]
widgets.towards()

# %% [markdown] tags=["teacher"]
# 5 minutes. Let the room choose what the cat shall be. Read the change: does it look like the target? Hardly ever here. Then the
# temple: which classes are near, which are far? Compare with lecture 07, which drew a class without any budget.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How far is the nearest border?
#
# Turn the question round. No budget: **what is the smallest change** that changes the answer? If the network were linear, the border
# between two classes would be flat, and we could step right onto it:
#
# $$\text{distance} = \frac{|f_k - f_c|}{\|w_k - w_c\|}$$
#
# Here $c$ is the class that is named and $k$ another one. $f$ are their logits, $w$ the slopes of these at the picture.
#
# **DeepFool** (Moosavi-Dezfooli et al. 2016) takes this step to the nearest of all borders, looks again, and repeats until the name changes.
# Two or three steps are mostly enough.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Five pictures, just across the border

# %%
near = adversarial.deepfool(model, album, candidates=3 if FAST else 6)
share = near.l2 / album.flatten(1).norm(dim=1)
before = [targets.class_name(model, number) for number in model(album).argmax(dim=1).tolist()]
after = [targets.class_name(model, number) for number in near.after.tolist()]
show(images.row(list(near.images), side=2.3,
                titles=[f"{one}\n→ {other}\n{part:.2%}"
                        for one, other, part in zip(before, after, share.tolist(), strict=True)]),
     alt="Five pictures at the border to another class, and by which share of its length each changed: "
         + ", ".join(f"{part:.2%}" for part in share.tolist()))
assert near.success.all() and (share < 0.5).all()

# %% [markdown]
# Above: the name before, the name after, and the length of the change as a **share of the length of the picture**. For a photo it is mostly below one percent. Mind
# the word: DeepFool finds *a* small change. The smallest one may be smaller still. It is a bound from one side only.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Sure about nothing
#
# Now without any photo. Begin with noise, and lead it to a class in steps of 1 of 255, until the network is 99 % sure.

# %%
wanted = torch.tensor([len(model.classes) // 7, len(model.classes) // 2, len(model.classes) - 1])
nothing = adversarial.fooling_images(model, wanted, steps=20 if FAST else 100, seed=SEED)
show(images.row(list(nothing.images), side=3.2,
                titles=[says(found[None]) for found in nothing.images]),
     alt="Three pictures that look like noise of all colours. The network calls them "
         + "; ".join(says(found[None]) for found in nothing.images))
print(f"{nothing.passes.backward} passes back for the three together; "
      f"no number was changed by more than {255 * nothing.linf.max().item():.0f} of 255")
assert FAST or NET != "photonet" or (nothing.loss_after < 0.1).all()

# %% [markdown]
# 99 %, of what? The softmax shares out its certainty among the classes that it **knows**. There is no share for *none of these*. Far from all
# photos it is as sure as anywhere (Nguyen et al. 2015). Lecture 07 climbed to the same place, with a rule for what looks nice.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## A sticker
#
# Another budget: change **a few pixels, but as much as you like**. Make a small picture that works on *any* photo, at *any* place.
# So choose photos and places at random, step up, and repeat.

# %%
goal = "ladybug" if "ladybug" in model.classes else model.classes[-1]
made = adversarial.adversarial_patch(model, data, goal, side=side // 4, steps=6 if FAST else 40, batch=8,
                                     learning_rate=0.1, rotate=False, seed=SEED)
row, column = side // 16, side - side // 4 - side // 16
pasted = adversarial.apply_patch(album[1:], made.patch, row, column)
show(images.row([made.patch, *pasted], side=2.3,
                titles=["the sticker", *(says(each[None]) for each in pasted)]),
     alt=f"A sticker that was made for {goal}, and four pictures with it in the upper right corner; the "
         "network calls "
         "them " + ", ".join(says(each[None]) for each in pasted))
grid = [k * (side - side // 4) // 3 for k in range(4)]
with torch.no_grad():
    stuck = [adversarial.apply_patch(album[1:], made.patch, y, x) for y in grid for x in grid]
    called = torch.cat([model(part).argmax(dim=1) for part in stuck])
won = (called == model.classes.index(goal)).float().mean()
print(f"It covers {1 / 16:.0%} of a picture, and was not made with these four. "
      f"At 16 places on each: {won:.0%} {goal}.")

# %% [markdown]
# Not always, but mostly: *one* sticker, new photos, new places.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Move it
#
# Is it the place? Is it only because something was covered? Choose **noise** or **grey** instead, of the same size.

# %% tags=["widget"]
noise = torch.rand(made.patch.shape, generator=torch.Generator().manual_seed(SEED))
stickers = {"made for " + goal: made.patch, "noise": noise, "grey": torch.full_like(noise, 0.5)}
shelf = names if DATA == "photos" else ["picture"] * len(album)
widgets.stick(model, stickers, {f"{k + 1}: {name}": album[k : k + 1] for k, name in enumerate(shelf)})

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Printed on paper
#
# A sticker need not stay in the computer. Brown et al. (2017) printed one, laid it beside a banana, and a network saw a toaster. Others made
# marks on stop signs (Eykholt et al. 2018), and frames of glasses (Sharif et al. 2016). There, light, distance and angle change. An attack must be
# made for all of them: as here, where place and photo change.
#
# What was shown is a danger for one network under the conditions of one experiment. It is not a claim about every car. But nobody who builds on
# networks may say: *that cannot happen*.

# %% [markdown] tags=["teacher"]
# 6 minutes. Look at the sticker: red and black. It is a superstimulus of lecture 07, made robust against being moved. So a logit
# listens to strong evidence anywhere, and the mean over all places (CAM, lecture 06a) adds it up. Ask which defence helps against a sticker.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Does it need to know the network?
#
# Four networks that name digits: a convnet, the same one trained on other digits (**MNIST**), a larger one (**encoder**), and a **dense** one. Attack one of
# them, and show the digits **to the others**.

# %% tags=["predict"]
budget = 40 / 255  # digits are black and white: they need more than photos do
test = digits.load("test")
many = 24 if FAST else 60
shown, named = test.images[:many], test.labels[:many]
dense = sweeps.network(sweeps.Settings(seed=SEED))
train.fit(dense, digits.load("train"), epochs=2 if FAST else 6, seed=SEED)
nets = {"convnet": models.load("simpleconvnet"), "MNIST": models.load("simpleconvnet", "mnist"),
        "encoder": models.load("encoder"), "dense": dense.eval()}
carried = adversarial.transfer(
    nets, shown, named, lambda net, x, y: adversarial.fgsm(net, x, budget, labels=y, batch=8), batch=8
)
predict(
    "10.p2",
    "These digits were changed by FGSM to fool the convnet. The encoder has never met the attacker. "
    "Of 100 digits that both name rightly, how many fool the encoder?",
    truth=lambda: round(100 * carried.success_rate[0, 2].item()),
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## They carry over

# %%
fig, ax = plt.subplots(figsize=(6, 4.6), layout="constrained")
images.numbers(carried.success_rate, ax=ax, limits=(0, 1), decimals=2)
ax.set_xticks([72 * (k + 0.5) for k in range(4)], carried.names, fontsize=12)
ax.set_yticks([72 * (k + 0.5) for k in range(4)], carried.names, fontsize=12)
ax.set_xlabel("shown to", fontsize=13)
ax.set_ylabel("made for", fontsize=13)
told = []
for one, row in zip(carried.names, carried.success_rate.tolist(), strict=True):
    parts = [f"{value:.0%} of {other}" for other, value in zip(carried.names, row, strict=True)]
    told.append(f"made for {one}: {', '.join(parts)}")
show(fig, alt="Share fooled, rows by the attacked network, columns by the one that looks. "
              + "; ".join(told))
away = carried.success_rate[~torch.eye(4, dtype=torch.bool)]
assert carried.success_rate.diag().mean() > away.mean()

# %% [markdown]
# On the diagonal: the network that was attacked. Beside it: networks that **nobody asked**. Some pairs share most of the
# pictures, others hardly any. But the attacker may choose. So to keep the weights secret protects little: train a network of your
# own, attack that, and send the pictures (Papernot et al. 2017).

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One noise for all
#
# So different pictures share something. Then perhaps **one** change fits all? Add up the slopes of many digits, step by step.

# %%
convnet = nets["convnet"]
learnt = digits.load("train").images[: 64 if FAST else 320]
fits = adversarial.universal_perturbation(convnet, learnt, 48 / 255, epochs=3, seed=SEED)
new = {"this noise, its own digits": fits.success_rate,
       "this noise, new digits": adversarial.evaluated(convnet, shown, fits.apply(shown)).success_rate,
       "random noise, new digits": adversarial.random_noise(convnet, shown, 48 / 255, seed=SEED).success_rate}
fig, axes = plt.subplots(1, 2, figsize=(11, 3), layout="constrained", width_ratios=(1, 2.4))
images.signed(fits.noise[0], ax=axes[0], title="the noise")
charts.bars({name: round(value, 2) for name, value in new.items()}, ax=axes[1], title="share fooled")
axes[1].set_xlim(0, 1.2)
show(fig, alt="A noise with blots where strokes would be; "
              + "; ".join(f"{name}: {value:.0%} fooled" for name, value in new.items()))
assert new["this noise, new digits"] > new["random noise, new digits"]

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The same noise on each of them

# %%
seen = fits.apply(shown[:8])
now = convnet(seen).argmax(dim=1).tolist()
show(images.row(list(seen), columns=4, side=1.8,
                titles=[f"{convnet.classes[one]} → {convnet.classes[other]}"
                        for one, other in zip(named[:8].tolist(), now, strict=True)]),
     alt="Eight digits with the same noise: people still read them, and the network misreads some.")

# %% [markdown]
# Made with some digits, it works on others: a **universal perturbation** (Moosavi-Dezfooli et al. 2017). *It belongs to the network, not to the picture.* Look where
# the digits go: nearly all to the **same** class. The authors saw such favourites, too. On photonet, with a hundred pieces of photos, it
# fooled these pieces about twice as often as new ones: with so few pictures of many things it over-fits.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Fault, or feature?
#
# Ilyas et al. (2019) turned it round. Change pictures of dogs until a network says *cat*, and **label them cat**. To us this is a set of wrong
# labels. Train a new network on nothing else. It names *real* cats far better than by chance.
#
# So the noise was no nonsense. It was made of **features that really go with cats**: too faint for us, but enough for a network, which was only ever asked
# to be right. Networks trained on the same pictures find the same features: that would be why noise carries over.
#
# *Adversarial examples are not bugs, they are features.* They are a fault only because we want networks to use the features that **we** use.

# %% [markdown] tags=["teacher"]
# 4 minutes. Connect with lecture 06b: network B read the mark in the corner; that, too, was a feature that really went with the class. Fair
# objections to Ilyas et al. are collected in a discussion on Distill, 2019: some adversarial examples are plain faults.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## A defence: hide the slope
#
# Attacks follow the slope. So take it away: **round** every number to one of eight levels before the network sees it. A staircase is flat: its slope is zero.

# %%
rounded = adversarial.Quantised(convnet, levels=8)
strength, few = 32 / 255, slice(0, 20 if FAST else 40)
compared = {"as it was": convnet, "rounded": rounded}
naive = {name: adversarial.pgd(net, shown[few], strength, labels=named[few], steps=10, seed=SEED)
         for name, net in compared.items()}
right = {name: train.evaluate(net, test, batch=100)[1] for name, net in compared.items()}
Table(["network", "right on clean digits", "fooled by PGD, 32 of 255", "pictures without a slope"],
      [[name, f"{right[name]:.1%}", f"{found.success_rate:.0%}",
        f"{int(found.zero_gradient.sum())} of {len(found.success)}"]
       for name, found in naive.items()],
      "The same convnet, without and with rounding")

# %% tags=["predict"] slideshow={"slide_type": "subslide"}
predict(
    "10.p3",
    "Rounding costs next to no accuracy, and PGD finds nothing. Another attack: on the way back, act "
    "as if the staircase were a straight line. How many are fooled?",
    options=["none", "about half as many as without rounding", "about as many as without rounding"],
    truth="about as many as without rounding",
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The pictures were there all the time

# %%
straight = adversarial.Quantised(convnet, levels=8, straight_through=True)
knowing = adversarial.pgd(straight, shown[few], strength, labels=named[few], steps=10, seed=SEED)
abroad = adversarial.pgd(nets["encoder"], shown[few], strength, labels=named[few], steps=5, seed=SEED,
                         batch=8)
tries = {"follow its own slope": naive["rounded"], "act as if it were straight": knowing,
         "ask the net without rounding": naive["as it was"], "ask quite another net": abroad}
fooled = {name: adversarial.evaluated(rounded, shown[few], found.images, labels=named[few]).success_rate
          for name, found in tries.items()}
fig, ax = plt.subplots(figsize=(8.6, 3), layout="constrained")
charts.bars({name: round(value, 2) for name, value in fooled.items()}, ax=ax,
            title="share of digits that fool the rounded network")
ax.set_xlim(0, 1.2)
show(fig, alt="; ".join(f"{name}: {value:.0%} fooled" for name, value in fooled.items()))
assert fooled["follow its own slope"] < 0.1 and fooled["act as if it were straight"] > 0.6

# %% [markdown]
# Rounding did not move the border. It only took down the signposts. This is **gradient masking**. Athalye et al. (2018) looked at nine defences of one
# conference. Seven hid the slope; six of these fell completely, one in part.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The same trick, by another door
#
# Multiply all logits by 1000. The answers stay. But every probability is now 0 or 1, and where it is 1, the cross-entropy is **flat**.

# %%
sharp = adversarial.Sharpened(convnet, factor=1000.0)
climbs = {"the cross-entropy": "cross-entropy", "right logit against the best other": "log-odds"}
climbed = {name: adversarial.pgd(sharp, shown[few], strength, labels=named[few], steps=5, loss=which,
                                 seed=SEED)
           for name, which in climbs.items()}
Table(["PGD climbs", "fooled, 32 of 255", "pictures without a slope"],
      [[name, f"{found.success_rate:.0%}", f"{int(found.zero_gradient.sum())} of {len(found.success)}"]
       for name, found in climbed.items()],
      "The same convnet, its logits times 1000")

# %% [markdown]
# *Defensive distillation* (Papernot et al. 2016) did nearly this, by training, and stopped nearly all attacks of its day. Carlini and Wagner
# (2017) climbed the **logits** instead. It was as easy to fool as a network without a defence.

# %%
assert climbed["the cross-entropy"].success_rate < 0.1
assert climbed["right logit against the best other"].success_rate > 0.6

# %% [markdown] tags=["teacher"]
# Two curtains, one window: once the input had no slope, once the loss. Ask before the table is shown: "Which number would you climb
# instead?" The answer is one line, `loss="log-odds"`. Against rounding it does not help, and the straight line does not help here.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### How to ask a defence
#
# - Does an attack that **knows the defence** fail, too? With its own stand-in for whatever has no slope?
# - Do pictures made for **another network** fool it? Then they exist.
# - More steps, more starts: does the share rise? Then the first number was too good. And with an unlimited eps it must reach 100 %.
# - Is one step stronger than many? Then the slope is broken.
#
# **A defence is only as good as the attack it was tested with** (Carlini & Wagner 2017).

# %% slideshow={"slide_type": "skip"}
quiz("10.q2")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## A defence that lasted: practise
#
# Attack each batch with the network as it is now. Learn from the **attacked** pictures, with their true labels. Repeat. This is **adversarial training**:
#
# $$\min_\theta \; \max_{\|\delta\|_\infty \le \varepsilon} \; \mathrm{loss}(x + \delta,\, y;\, \theta)$$
#
# Inside, an attacker climbs. Outside, the network descends. It costs as many more passes as the attacker takes steps.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Before, and after practice

# %%
pupils = digits.load("train")
lesson = 96 if FAST else 800
pupils = pupils._replace(images=pupils.images[:lesson], labels=pupils.labels[:lesson])
hard = adversarial.adversarial_training(
    models.load("simpleconvnet"), eps=32 / 255, steps=2, epochs=1 if FAST else 4, learning_rate=2e-3,
    n_eval=40, eval_steps=2, train=pupils, seed=SEED)
both = {"before": convnet, "after practice": hard.model}
doses = [0, 8, 16, 24, 32, 40]
attacks = {name: [adversarial.pgd(net, shown, dose / 255, labels=named, steps=5, seed=SEED) for dose in doses]
           for name, net in both.items()}
withstood = {name: [1 - found.success.double().mean().item() for found in row]
             for name, row in attacks.items()}
fig, ax = plt.subplots(figsize=(8.6, 3.4), layout="constrained")
charts.lines(withstood, x=doses, ax=ax, title="share right under attack by PGD",
             xlabel="eps of the attack, of 255", ylabel="share right")
ax.set_ylim(-0.06, 1.05)
show(fig, alt="; ".join(
    f"{name}: " + ", ".join(f"{value:.0%} right at {dose} of 255"
                            for dose, value in zip(doses, values, strict=True))
    for name, values in withstood.items()
))
clean = {name: train.evaluate(net, test)[1] for name, net in both.items()}
print("; ".join(f"{name}: {value:.1%} of {len(test.labels)} clean digits right"
                for name, value in clean.items()))
assert FAST or withstood["after practice"][4] > withstood["before"][4] + 0.2

# %% [markdown]
# Practised at 32 of 255. It withstands far more; at the right end it, too, breaks. Attacked by PGD with **five** steps: ask this defence,
# too, and set `steps=20`. A few more fall; far more than before still hold. And a little of the accuracy on **clean** digits is lost. On photos it is not
# little: on CIFAR-10, Madry et al. (2018) went from 95 to 87 % of the clean pictures, and had about one half right at 8 of 255.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Let it practise
#
# Choose **eps**, and what to learn from. Press Train. Which price does it pay on clean digits? Try 64. Try *none*.

# %% tags=["widget"]
live_adversarial_training.live()

# %% [markdown] tags=["teacher"]
# 6 minutes. "none" is ordinary training: the attacked curve stays at the bottom, so it is no question of more training. At 64 the strokes
# themselves drown: clean accuracy falls, and it learns slowly. FGSM is cheaper. Sometimes a net learns to be flat just
# there, and PGD breaks it (Wong et al. 2020): judge with a stronger attack than the one it practised with.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does it look at now?
#
# The slope of the loss, for both networks and the same digits: which pixels would raise it?

# %%
gradients = {}
for name, net in both.items():
    leaf = shown.clone().requires_grad_()
    (gradients[name],) = torch.autograd.grad(F.cross_entropy(net(leaf), named, reduction="sum"), leaf)
fig, axes = plt.subplots(3, 6, figsize=(8, 3.9), layout="constrained")
for column in range(6):
    images.picture(shown[column], ax=axes[0, column])
    for row, found in enumerate(gradients.values(), 1):
        images.signed(found[column], ax=axes[row, column], bar=False)
for row, text in enumerate(("the digit", *both)):
    axes[row, 0].set_ylabel(text, fontsize=13)
show(fig, alt="Six digits, and below each the slope of the loss of two networks: before, specks all "
              "over the picture; after practice, fewer and larger ones, nearer to the strokes.")

strokes = F.max_pool2d((shown > 0.2).float(), 3, stride=1, padding=1)  # and one pixel around them
axes = (1, 2, 3)
inside = {name: ((found.abs() * strokes).sum(dim=axes) / found.abs().sum(dim=axes)).mean().item()
          for name, found in gradients.items()}
foretold = {name: adversarial.linear_approximation(net, shown, 32 / 255, labels=named).predicted.mean().item()
            for name, net in both.items()}
for name in both:
    print(f"{name:14}  on the strokes or beside them: {inside[name]:.0%} of the slope; "
          f"largest drop by 32 of 255: {foretold[name]:.0f} (means)")
assert FAST or foretold["after practice"] < foretold["before"]
assert FAST or inside["after practice"] > inside["before"]

# %% [markdown]
# Each map on its own scale. Before: specks all over the picture. After: more of them at the strokes. And the number of 10.2 has become
# **smaller**: practice took away the many small slopes that add up. After long practice the maps look like strokes that one would add or
# rub out (Tsipras et al. 2019).

# %% slideshow={"slide_type": "skip"}
progress()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three things to keep
#
# 1. Many tiny changes that all pull the same way add up: $\varepsilon \sum |w|$. Noise at random cancels out, so it says nothing about the worst case.
# 2. Such pictures belong to what the network learned: they carry over, one noise fits many, one sticker wins nearly anywhere.
# 3. "The attack found nothing" may mean that the way is hidden. A defence is only as good as the attack it was tested with.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## New words
#
# | word | meaning |
# |---|---|
# | adversarial example | a picture changed on purpose, and little, so that a network errs |
# | budget (epsilon) | by how much a picture may be changed; count it in pictures from 0 to 1 |
# | L-infinity | the size of a change by its largest number |
# | L2 (of a change) | its length: the root of the sum of the squares |
# | FGSM | one step by the sign of the slope, as far as allowed |
# | PGD | many small steps, and back into the budget after each |
# | targeted | towards a class of one's choice, not only away from the right one |
# | transfer | pictures made for one network fool another |
# | universal perturbation | one change that fools with most pictures |
# | adversarial patch | a sticker that brings one answer wherever it is put |
# | gradient masking | a defence that hides the slope, and not the border |
# | adversarial training | learning from attacked pictures with their true labels |
#
# ## References
#
# - C. Szegedy et al.: *Intriguing properties of neural networks*, ICLR 2014, arXiv:1312.6199.
# - I. Goodfellow, J. Shlens, C. Szegedy: *Explaining and harnessing adversarial examples*, ICLR 2015, arXiv:1412.6572 (FGSM).
# - A. Nguyen, J. Yosinski, J. Clune: *Deep neural networks are easily fooled*, CVPR 2015, arXiv:1412.1897.
# - S.-M. Moosavi-Dezfooli et al.: *DeepFool*, CVPR 2016, arXiv:1511.04599; *Universal adversarial perturbations*, CVPR 2017, arXiv:1610.08401.
# - M. Sharif et al.: *Accessorize to a crime*, CCS 2016; K. Eykholt et al.: *Robust physical-world attacks*, CVPR 2018, arXiv:1707.08945.
# - N. Papernot et al.: *Practical black-box attacks against machine learning*, AsiaCCS 2017, arXiv:1602.02697.
# - N. Papernot et al., IEEE S&P 2016, arXiv:1511.04508 (defensive distillation).
# - N. Carlini, D. Wagner: *Towards evaluating the robustness of neural networks*, IEEE S&P 2017, arXiv:1608.04644.
# - T. Brown et al.: *Adversarial patch*, 2017, arXiv:1712.09665.
# - A. Madry et al.: *Towards deep learning models resistant to adversarial attacks*, ICLR 2018, arXiv:1706.06083 (PGD).
# - A. Athalye, N. Carlini, D. Wagner: *Obfuscated gradients give a false sense of security*, ICML 2018, arXiv:1802.00420.
# - D. Tsipras et al.: *Robustness may be at odds with accuracy*, ICLR 2019, arXiv:1805.12152.
# - A. Ilyas et al.: *Adversarial examples are not bugs, they are features*, NeurIPS 2019, arXiv:1905.02175.
# - E. Wong, L. Rice, J. Kolter: *Fast is better than free*, ICLR 2020, arXiv:2001.03994.
