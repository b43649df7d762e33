# %% [markdown] slideshow={"slide_type": "slide"}
# # 07 · Deep dream
#
# **Which picture would the network itself draw?**
#
# You will be able to
#
# - climb: forward, objective, gradient, one step up, again;
# - say why the first try looks like no photo, and name three ways to mend it;
# - write and add objectives: a unit, a class, and what a picture may not be;
# - read a place of a layer as a sum of icons.
#
# **Minutes:** 50 for the lecture, 40 for the exercises.
# **Needs:** lectures 03, 04 and 06a. No internet.

# %%
import matplotlib.pyplot as plt
import torch

from cnnlab.course import TODO, check, hint, predict, progress, quiz
from cnnlab.data import datasets, photos
from cnnlab.drawing import charts, images, sheets, show
from cnnlab.methods import dream, top
from cnnlab.nets import icons, models
from cnnlab.probing import receptive, representative_layers
from cnnlab.widgets.lessons import dream as widgets

# %% tags=["parameters"]
FAST = False  # True: fewer pictures and steps
SEED = 0
NET = "photonet"  # or "shapesnet" with "scenes", "simpleconvnet" with "digits"
DATA = "photos"  # or "scenes", "digits": what the network was made for

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three units, and a picture drawn for each

# %%
model = models.load(NET)
side = model.input_size[-1]
names = representative_layers(model, torch.zeros(1, *model.input_size))
name = names[len(names) // 2]
data = datasets.load(DATA, model.input_size, n=120 if FAST else 400, seed=SEED)
field = receptive.field(model, name, side)
found = top.scan(model, data.images, name, k=9)
seeded = torch.Generator().manual_seed(SEED)
noise = (0.5 + 0.02 * torch.randn(1, *model.input_size, generator=seeded)).clamp(0, 1)
parts = dict(model.named_children())
head = torch.nn.Sequential(*list(parts.values())[: list(parts).index(name) + 1])  # up to our layer
awake = head(noise)[0].amax(dim=(1, 2)) > 0  # a channel that is off everywhere has no slope to climb
chosen = (found.values[:, 0] * awake).argsort(descending=True)[:3].tolist()
steps = 8 if FAST else 32
drawn = dream.superstimuli(model, name, channels=chosen, steps=steps, seed=SEED).images
fig, axes = plt.subplots(2, 3, figsize=(7.6, 5.2), layout="constrained")
for position, channel in enumerate(chosen):
    nine = top.patches(data.images, found, field, channels=[channel], outside=0.5)[0]
    images.grid(nine, ax=axes[0, position], columns=3, title=f"{name}, {channel}")
    images.picture(drawn[position], ax=axes[1, position], title="drawn for it")
show(fig, alt=f"Three channels of {name}: above the nine pieces of pictures to which each answers most, "
                "below a picture drawn for it.")

# %% [markdown]
# Above: the pieces of photos that three channels answer to most (lecture 04). Below: pictures that **nobody took**, drawn from noise
# for the same channels. In a photo many things come together: a shape, a thing, a background. Which of them did it? In the drawing
# is only what raises the answer: no thing is needed, a shape will do.

# %% [markdown] tags=["teacher"]
# 3 minutes. Ask of each column: what do the nine pieces share? Then look below: is that there, too? What is missing? The nine
# pieces come from few photos, so ask also what a tenth piece from another photo could look like.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Climb
#
# 1. **Forward**: show the network a picture.
# 2. **Objective**: read one number off it. Here: the mean of one feature map, that is one unit at all places at once.
# 3. **Gradient**: which pixel should change, and which way? (Lecture 06a.)
# 4. **Step up**: change the picture a little. Then again.
#
# It is training, turned round: the weights stay, and the picture learns.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 07.1: one step up
#
# Take the gradient of the objective at the picture. Divide it by its length, so that every step is `rate` long. Add it. Keep the
# picture between 0 and 1. Give back plain numbers, without a gradient of their own: the next step starts afresh.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def ascend(objective, image, rate):
    """One step up: a function of a picture, (1, C, H, W), number -> (1, C, H, W)."""
    # BEGIN SOLUTION: a copy that asks for gradients; its gradient, made as long as `rate`; added and clamped
    # hint: Three parts: the gradient as in 06a.1, its length by .norm(), the sum with the picture.
    # hint: leaf = picture.clone().requires_grad_(); the gradient is torch.autograd.grad(objective(leaf), leaf)[0].
    # hint: return (picture + rate * slope / slope.norm()).clamp(0, 1).detach()
    leaf = image.clone().requires_grad_()
    gradient = torch.autograd.grad(objective(leaf), leaf)[0]
    return (image + rate * gradient / gradient.norm()).clamp(0, 1).detach()
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
ascend = check("07.1", ascend)

# %% slideshow={"slide_type": "skip"}
hint("07.1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The first try
#
# From noise, pixel by pixel, with nothing else. The channel will answer. And what shall we see?

# %% tags=["predict"]
predict(
    "07.p1",
    "We climb from grey noise, pixel by pixel, for the mean of one map. "
    "How will the map answer, and what will the picture look like?",
    options=[
        "more weakly than to the best photo; like noise",
        "as strongly as to the best photo; like a photo",
        "far more strongly than to any photo; like none",
    ],
    truth="far more strongly than to any photo; like none",
)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### What came of it

# %%
def answer(rendered, channel=chosen[0]):
    """The mean of a channel's map, for each picture."""
    with torch.no_grad():
        return head(rendered)[:, channel].mean(dim=(1, 2))


def mean_of_map(image):
    """Our objective, with its gradient: one picture in, one number out."""
    return head(image)[0, chosen[0]].mean()


image, film = noise, [noise]
for k in range(steps):
    image = ascend(mean_of_map, image, 2.0).detach()  # yours, if it is right
    film += [image] if (k + 1) % (steps // 4) == 0 else []
values = answer(torch.cat(film)).tolist()
assert values[-1] > values[0]
titles = [f"step {k * (steps // 4)}: {value:.2f}" for k, value in enumerate(values)]
show(images.row(film, titles=titles),
     alt="A picture at five moments of the climb, with the mean of the map: it turns from grey noise "
         f"to a pattern in garish colours, while the mean rises to {values[-1]:.2f}.")
best = max(answer(part).max().item() for part in data.images.split(64))
print(f"the mean of the map: {values[-1]:.2f} now, {best:.2f} for the best of {len(data.images)} others")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Why so garish?
#
# The map answers several times as much as to any photo. But no photo has such colours, and such a fine grain. The network never saw
# them, so nobody taught it to ignore them. The climb takes whatever raises the number. (Lecture 10 makes an attack of it.)
#
# Three ways to mend it:
#
# - **punish** what photos do not have: subtract it from the objective;
# - **move** the picture before each look: what works only at exactly one place is lost;
# - **draw with waves** instead of pixels.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 07.2: total variation
#
# The sum of the sizes of all differences between neighbours, side by side and one above the other, in all colours.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def total_variation(image):
    """How rough a picture is: (1, C, H, W) -> one number, as a tensor."""
    # BEGIN SOLUTION: differences along the rows and along the columns, their sizes, all added
    # hint: Two kinds of neighbours: axis 3 (side by side), axis 2 (one above the other). Each gives one sum.
    # hint: picture.diff(dim=3) has the shape (1, C, H, W - 1). Its sizes are .abs().
    # hint: return picture.diff(dim=2).abs().sum() + picture.diff(dim=3).abs().sum()
    return image.diff(dim=2).abs().sum() + image.diff(dim=3).abs().sum()
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
total_variation = check("07.2", total_variation)

# %% slideshow={"slide_type": "skip"}
hint("07.2")

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 07.3: jitter
#
# Move the picture down and to the right by whole pixels. What leaves on one side comes in on the other.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def jitter(image, down, right):
    """The picture, moved: (1, C, H, W), int, int -> (1, C, H, W)."""
    # BEGIN SOLUTION: roll the picture along its rows and its columns
    # hint: There is a function of torch that moves a tensor round in a circle along chosen axes.
    # hint: torch.roll(x, shifts, dims) takes one shift for each axis; down is axis 2, right is axis 3.
    # hint: return picture.roll((down, right), dims=(2, 3))
    return image.roll((down, right), dims=(2, 3))
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
jitter = check("07.3", jitter)

# %% slideshow={"slide_type": "skip"}
hint("07.3")

# %% [markdown] slideshow={"slide_type": "skip"}
# Both at work: the first try again, once with your total variation subtracted, once moved by your jitter before each look.

# %% slideshow={"slide_type": "skip"}
smooth, shaken = film[0], film[0]
for _ in range(steps):
    by = torch.randint(-2, 3, (2,), generator=seeded).tolist()
    smooth = ascend(lambda x: mean_of_map(x) - 0.0005 * total_variation(x), smooth, 2.0).detach()
    shaken = ascend(lambda x, by=by: mean_of_map(jitter(x, *by)), shaken, 2.0).detach()
show(images.row([image, smooth, shaken], titles=["the first try", "less variation", "moved"]),
     alt="The first try, the same with total variation subtracted, and the same moved before each look: "
         "a pattern of one kind in all three; the second is paler, the third has thicker lines.")

# %% [markdown] tags=["bug-hunt"] slideshow={"slide_type": "skip"}
# ### Bug hunt: the picture that walks away
#
# Above, autograd went back through your jitter by itself. Here somebody moves the picture first, and then asks for the gradient:
# `gradient_of` gives it, at any picture. Added to the picture that was **not** moved, it makes a smear. Find the fault, mend it, and
# run the check.

# %% tags=["bug-hunt"] slideshow={"slide_type": "skip"}
def jittered_gradient(gradient_of, image, down, right):
    """The gradient, asked at the moved picture: a function, (1, C, H, W), int, int -> (1, C, H, W)."""
    return gradient_of(image.roll((down, right), dims=(2, 3)))


dot = torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]])
# A gradient that simply repeats what it is shown: so it must come back to where the dot stood.
back_at = jittered_gradient(lambda x: x, dot, 0, 1).flatten().tolist()
print("found:", back_at, "- the dot stood at the first place")

# %% tags=["solution"] slideshow={"slide_type": "skip"}
def jittered_gradient(gradient_of, image, down, right):
    """The gradient, asked at the moved picture: a function, (1, C, H, W), int, int -> (1, C, H, W)."""
    return gradient_of(image.roll((down, right), dims=(2, 3))).roll((-down, -right), dims=(2, 3))  # and back again

# %% tags=["check"] slideshow={"slide_type": "skip"}
jittered_gradient = check("07.bug", jittered_gradient)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What is a picture made of?
#
# Of **pixels**: raise one number, and one dot changes. Or of **waves**: raise one number, and stripes appear everywhere. All waves
# together make any picture. Few slow waves make a soft one.

# %%
still = photos.load("cat", 64)
waves = torch.fft.rfft2(still)
down, across = torch.fft.fftfreq(64)[:, None], torch.fft.rfftfreq(64)
speed = 64 * (down.square() + across.square()).sqrt()  # of each wave: how often it fits into the picture
dot, stripes = torch.full((1, 3, 64, 64), 0.5), torch.zeros(1, 3, 64, 33, dtype=torch.complex64)
dot[..., 30:33, 30:33] = 1.0
stripes[..., 2, 3] = 64 * 64 / 2
faces = [torch.fft.irfft2(waves * (speed <= most)).clamp(0, 1) for most in (3, 8, 16)]
show(images.row([dot, 0.5 + torch.fft.irfft2(stripes) / 2, *faces, still],
                titles=["one pixel", "one wave", "slow waves", "and faster", "and faster", "all waves"]),
     alt="A dot for one pixel; slanted stripes for one wave; a cat's face from slow waves only, "
         "blurred, then sharper and sharper as faster waves are added.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Start slow, and in the colours of photos
#
# We climb in waves, and let slow ones move in wider steps: so large forms come before fine grain. And in photos red, green and
# blue rise together. So we draw in brightness and two differences of colour, each as strong as in photos.

# %%
def random_image(made_of, strength):
    """A picture from random numbers, taken for pixels or for waves."""
    numbers = made_of.start(1, (3, 64, 64), torch.Generator().manual_seed(SEED))
    return made_of.to_image(strength * numbers, (64, 64))


grain = random_image(dream.Pixel(noise=2.0), 1)
clouds = [random_image(dream.Fourier(decorrelate=colours), 2) for colours in (False, True)]
show(images.row([grain, *clouds], titles=["random pixels", "random waves", "waves, colours of photos"]),
     alt="Random numbers as pixels: coloured grain. As waves: clouds in all colours. "
         "As waves with the colours of photos: clouds from dark to light, with little colour.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Moved before each look
#
# Jitter, scale, rotate: in each step the network is shown the picture shifted, enlarged and turned, each time differently. Here each
# by much, so that it can be seen; last, all three as we use them, each by a little.

# %%
moves = {
    "as it is": (),
    "jitter": (dream.jitter(8),),
    "scale": (dream.scale(1.25, 1.3),),
    "rotate": (dream.rotate(15, 12),),
    "all, as we use it": dream.standard(64),
}
shown = [dream.Warp(move, (64, 64), seed=SEED) for move in moves.values()]
show(images.row([warp.view(still, warp.draw()) for warp in shown], titles=list(moves)),
     alt="A cat's face as it is, shifted, enlarged, turned, and all of these by a little.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One unit, one seed, six ways
#
# The number is the mean of the map. What does each rule cost, and what does it buy?

# %%
wish = dream.channel(name, chosen[0])
flat = {"parametrisation": "pixel", "transforms": ()}
tries = {
    "pixels": (wish, flat),
    "less variation": (wish - 10 * dream.total_variation(), flat),
    "near its blur": (wish - 100 * dream.blur(), flat),
    "pixels, moved": (wish, {"parametrisation": "pixel"}),
    "waves": (wish, {"transforms": ()}),
    "waves, moved": (wish, {}),
}


def draw(aim, **options):
    """Pictures for an objective: in waves and moved, where nothing else is said."""
    return dream.render(model, aim, **{"steps": steps, "learning_rate": 0.1, "seed": SEED, **options}).images


ways = {said: draw(aim, **options) for said, (aim, options) in tries.items()}
show(images.row(list(ways.values()), columns=3, side=2.2,
                titles=[f"{said}: {answer(rendered).item():.2f}" for said, rendered in ways.items()]),
     alt="One unit, six pictures with the mean of its map: by pixels in garish colours; "
         "with less variation or near its blur smoother; moved, with thicker lines; by waves in the "
         "colours of photos. By pixels alone the mean is the highest.")

# %% [markdown]
# Each rule costs some of the answer, and buys a picture that we can read. All that the rules know of photos: how smooth they are,
# which colours go together, and that they may be moved. The rules are ours. So is part of what we see.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### What can we ask for?
#
# One place of a map, a whole map, all maps of a layer, or a class.

# %%
target = len(model.classes) // 3 + 1
asked = {
    "neuron: one place": draw(dream.neuron(name, chosen[0])),
    "channel: one map": ways["waves, moved"],
    "layer: all maps": draw(dream.layer(name)),
    f"logit: {model.classes[target]}": draw(dream.logit(target)),
}
show(images.row(list(asked.values()), titles=list(asked)),
     alt="Drawn for one place of a map: a single spot in soft noise. For the whole map: the same "
         f"pattern everywhere. For all maps of {name}: several patterns. "
         f"For {model.classes[target]}: parts of it.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Objectives add
#
# What is wanted, and what is not, is one sum. The numbers are the answers of the two channels. What does the sum give up?

# %%
other = dream.channel(name, chosen[1])
wanted = wish + other - 2.0 * dream.total_variation()
print("the sum:", wanted)  # an objective can be read
drawn = [ways["waves, moved"], draw(other), draw(wanted)]
titles = []
for said, rendered in zip(["one", "the other", "the sum"], drawn, strict=True):
    both = [f"{answer(rendered, number).item():.1f}" for number in chosen[:2]]
    titles.append(f"{said}: {' and '.join(both)}")
show(images.row(drawn, titles=titles),
     alt="Pictures for two channels, and one for the sum of both, with the answers of the two: "
         "the first two please one channel each, the third pleases both, each a little less.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What is a class?
#
# The same for the logit of a class. Simonyan et al. (2014) drew *class models* of a ConvNet: they asked for
#
# $$S_c(I) - \lambda \, \|I\|^2$$
#
# to be as large as can be. $S_c$ is the logit of class c, and $\lambda$ says how much it costs to be far from zero. In the paper, zero is
# the mean colour of all photos. Where it is black, as in our pictures from 0 to 1, a bright picture costs.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 07.4: the objective of a class
#
# The logit of the target, less `strength` times the sum of squares of the picture.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def class_objective(logits, target, image, strength):
    """S_c(I) - strength * |I|^2: (1, K), int, (1, C, H, W), number -> one number, as a tensor."""
    # BEGIN SOLUTION: the logit of the target, less the penalty
    # hint: Two terms. The first is one entry of logits, the second a sum over the picture.
    # hint: logits[0, target] is the first; (picture ** 2).sum() the sum of squares.
    # hint: return logits[0, target] - strength * (picture ** 2).sum()
    return logits[0, target] - strength * (image**2).sum()
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
class_objective = check("07.4", class_objective)

# %% slideshow={"slide_type": "skip"}
hint("07.4")

# %% [markdown] slideshow={"slide_type": "skip"}
# Your objective draws a class, pixel by pixel. Without and with the penalty: which is darker?

# %% slideshow={"slide_type": "skip"}
drawings = []
for strength in (0.0, 0.03):
    image = film[0]

    def aim(x, strength=strength):
        return class_objective(model(x), target, x, strength)

    for _ in range(steps):
        image = ascend(aim, image, 3.0).detach()
    drawings.append(image)
bright = [f"mean {drawing.mean().item():.2f}" for drawing in drawings]
show(images.row(drawings, titles=[f"no penalty: {bright[0]}", f"penalty: {bright[1]}"]),
     alt=f"Two pictures for the class {model.classes[target]}, pixel by pixel, the second darker.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Five classes

# %%
classes = [int(k * len(model.classes) / 5) for k in range(5)]
show(images.row(list(draw(dream.logit(classes))), titles=[model.classes[k] for k in classes]),
     alt=f"Five pictures, drawn for the classes {', '.join(model.classes[k] for k in classes)}: "
         "what tells each from the others, in its colours, several times over.")

# %% [markdown]
# What tells a class from the others appears: a colour, a head, a dome. It appears several times over. Nothing asked for **one** thing,
# in its place.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### What does a penalty do?
#
# Our `l2()` is the same idea, counted from grey, and as a mean: so its weights are larger than in the formula.

# %%
drawn_for_logit = asked[f"logit: {model.classes[target]}"]
punished = {weight: draw(dream.logit(target) - weight * dream.l2()) for weight in (500, 5000)}
punished = {0: drawn_for_logit, **punished}
logits = [model(rendered)[0, target].item() for rendered in punished.values()]
titles = [f"{weight} * L2: logit {logit:.0f}" for weight, logit in zip(punished, logits, strict=True)]
show(images.row(list(punished.values()), titles=titles),
     alt=f"The class {model.classes[target]} with three weights of the penalty, and its logit: "
         "the larger the weight, the greyer the picture.")

# %% [markdown]
# A little of it takes the strong colours, and hardly any of the logit: the network did not need them. Much of it costs the logit, too.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Logit or probability?

# %% tags=["predict"]
predict(
    "07.p2",
    "We climb for the probability of a class instead of its logit. What will we see?",
    options=["the same picture", "a clearer picture", "a faint beginning, and then it stops"],
    truth="a faint beginning, and then it stops",
)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The same class, two objectives

# %%
climbs = {"logit": dream.logit(target), "probability": dream.probability(target)}
for said, aim in climbs.items():
    climbs[said] = dream.render(model, aim, steps=steps, learning_rate=0.1, seed=SEED)
fig, axes = plt.subplots(1, 3, figsize=(12.4, 4), layout="constrained", width_ratios=(1, 1, 1.2))
for ax, (said, climb) in zip(axes, climbs.items(), strict=False):
    logits = model(climb.images)[0]
    title = f"{said}: logit {logits[target].item():.0f}, p = {logits.softmax(0)[target].item():.3f}"
    images.picture(climb.images, ax=ax, title=title)
risen = {said: (climb.history[:, 0] / climb.history.max()).tolist() for said, climb in climbs.items()}
charts.lines(risen, ax=axes[2], title="how far it has come", xlabel="steps done",
             ylabel="part of its largest value")
show(fig, alt=f"The class {model.classes[target]} drawn for its logit: clear parts of it. Drawn for its "
              "probability: a faint beginning in the soft noise of the start. Two curves: the "
              "probability is at its top after a few steps, the logit goes on rising.")

# %% [markdown]
# After a few steps the probability is nearly 1. It **cannot rise any more**, so there is nothing left to climb (lecture 06a). The logit
# goes on. And a probability also rises when the *other* classes fall.

# %% slideshow={"slide_type": "skip"}
quiz("07.q1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One unit, many faces
#
# One picture may show only one face of a unit. Draw four at once (above), and four that are rewarded for being **different** (below).
# The number is what the map answers. What does it cost to be different? And what do all eight share?

# %%
alike, unlike = (draw(wish + weight * dream.diversity(name), n_images=4) for weight in (0, 0.5))
eight = torch.cat([alike, unlike])
show(images.row(list(eight), titles=[f"{value:.2f}" for value in answer(eight)], columns=4, side=2.1),
     alt=f"Above four pictures for channel {chosen[0]} of {name}, nearly alike. "
         "Below four that were rewarded for being different. With the answer of the map to each.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Draw one yourself
#
# Choose what to ask for. Press **Draw**, and watch. **Stop** when you like it: the picture stays. Try a *neuron*: one place of the
# map. A *layer*: all of its channels. A *logit*: a class.

# %% tags=["widget"]
widgets.studio()

# %% [markdown] tags=["teacher"]
# 8 minutes. Pixels without moves: garish colours. Then waves. Then total variation at 30: stripes without grain. Neuron against channel:
# one spot against a pattern everywhere. Let the room choose a unit from the sheets below and draw it.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The units of a layer on one sheet
#
# Drawn once, in waves, moved, 96 steps each, and shipped with the course. The first layer: which colours, which edges?

# %%
shipped = icons.layers(NET)


def sheet(layer, columns=16, most=96):
    """The icons of a layer. The number of a unit: that of its row plus that of its column."""
    every = icons.load(NET, layer)
    few = every[:most]
    columns, cell = min(columns, len(few)), few.shape[-1] + 2
    fig, ax = plt.subplots(figsize=(12.4, 0.75 * -(-len(few) // columns) + 0.7), layout="constrained")
    images.grid(few, ax=ax, columns=columns, title=f"{layer}: {len(few)} of {len(every)} units")
    ax.set_xticks([(k + 0.5) * cell for k in range(columns)], [f"+{k}" for k in range(columns)])
    rows = range(0, len(few), columns)
    ax.set_yticks([(k // columns + 0.5) * cell for k in rows], rows)
    ax.tick_params(length=0, labelsize=12)
    show(fig, alt=f"A sheet of small pictures, one for each of the first {len(few)} units of {layer}: "
                  "what each of them asks for.")


for layer in shipped[:1]:
    sheet(layer)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### In the middle: textures

# %%
for layer in shipped[len(shipped) // 2 : len(shipped) // 2 + 1]:
    sheet(layer)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The last: parts
#
# Find a unit that asks for eyes or snouts. Its number is that of its row plus that of its column. Draw it in the studio.

# %%
for layer in shipped[-1:]:
    sheet(layer)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Deep dream
#
# Begin with a photo, and ask a whole layer for *more of whatever you see*. First on a small copy, then larger and larger: these are
# the **octaves**. So patterns of all sizes appear.

# %% tags=["widget"]
widgets.octaves()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does a layer remember?
#
# Turn it round: find a picture whose maps **at one layer** are those of a photo. What comes back is what the layer kept.

# %% tags=["predict"]
predict(
    "07.p3",
    "We draw a picture whose activations are those of the photo, once at the first and once at the last "
    "layer. Which comes nearer to the photo?",
    options=["the first layer", "the last layer", "both alike"],
    truth="the first layer",
)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### What came back

# %%
photo = data.images[:1] if DATA != "photos" else photos.load("cat", side)
if photo.shape[1] != model.input_size[0]:
    photo = photo.mean(dim=1, keepdim=True)
layers = (names[0], names[len(names) // 2], names[-1])
back = {}
for layer in layers:
    back[layer] = dream.invert(model, photo, layer, steps=16 if FAST else 64, seed=SEED).images
off = {layer: (found - photo).square().mean().sqrt().item() for layer, found in back.items()}
show(images.row([photo, *back.values()],
                titles=["the photo", *(f"{layer}: pixels off by {off[layer]:.2f}" for layer in back)]),
     alt="A photo, and three pictures drawn from the activations of a layer; the later the layer, "
         "the less of the photo comes back.")

# %% [markdown]
# From the first layer the photo comes back, a little pale. From the last come textures and a few parts: where they stood is mostly
# gone. Part of the difference is ours: we stopped after a few steps.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Read a place as a sum of icons
#
# At one place of a layer stands a vector: one number for each channel. Which channels are strongest there? Show their icons. Move the
# place, and read aloud: *here it sees much of this, and a little of that*.

# %% tags=["widget"]
widgets.dictionary()

# %% slideshow={"slide_type": "skip"}
quiz("07.q2")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Every place, layer by layer
#
# Cut the maps into four by four squares. Draw for each square what its mean vector asks for. The longer the vector, the larger the
# picture.

# %%
def grid_of(layer):
    """A mosaic: what each square of a layer's maps asks for."""
    cells = min(4, *receptive.field(model, layer, side).grid)
    found = dream.grid(model, photo, layer, cells=cells, steps=8 if FAST else 32, seed=SEED)
    fig, axes = plt.subplots(1, 2, figsize=(10, 4.7), layout="constrained")
    images.picture(photo, ax=axes[0], title="the photo")
    mosaic = sheets.mosaic(found.images, found.magnitude)
    images.picture(mosaic, ax=axes[1], title=f"{layer}, square by square")
    show(fig, alt=f"A photo, and beside it a mosaic: in each square a small picture of what {layer} "
                  "sees there, the larger the stronger its answer.")


grid_of(names[1])

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Further up

# %%
grid_of(names[len(names) // 2])

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### At the top

# %%
grid_of(names[-1])

# %% [markdown]
# In an early layer, a square asks for edges and colours. At the top, squares ask for parts, and neighbours ask for much the same: each
# of them sees most of the picture.

# %% slideshow={"slide_type": "skip"}
progress()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three things to keep
#
# 1. Feature visualisation is training turned round: the weights stay, the picture climbs.
# 2. Without a rule for what pictures are like, the climb leaves all photos behind. The rule is ours, not the network's.
# 3. Photos show what comes along with a cause; a drawn picture shows what is enough. Look at both.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## New words
#
# | word | meaning |
# |---|---|
# | objective | the number that the picture is to make large |
# | feature visualisation | drawing a picture that makes an objective large |
# | superstimulus | a picture drawn for a unit, to which it answers more than to photos |
# | L2 | the sum, or mean, of squares: here how far a picture is from grey |
# | total variation | the sum of the sizes of all differences between neighbours |
# | jitter | moving the picture at random before each look |
# | parametrisation | the numbers of which a picture is made: pixels, or waves |
# | octave | a size at which a dream is dreamt, before the next larger one |
# | feature inversion | finding a picture that has the activations of another |
# | icon | a small superstimulus that stands for its unit |
# | semantic dictionary | a place of a layer, told by the icons of its strongest channels |
#
# ## References
#
# - D. Erhan et al.: *Visualizing higher-layer features of a deep network*, 2009 (activation maximisation).
# - K. Simonyan, A. Vedaldi, A. Zisserman: *Deep inside convolutional networks*, 2014, arXiv:1312.6034 (class models).
# - A. Mahendran, A. Vedaldi: *Understanding deep image representations by inverting them*, CVPR 2015, arXiv:1412.0035.
# - A. Mordvintsev, C. Olah, M. Tyka: *Inceptionism: going deeper into neural networks*, 2015 (deep dream).
# - J. Yosinski et al.: *Understanding neural networks through deep visualization*, 2015, arXiv:1506.06579 (blur).
# - C. Olah, A. Mordvintsev, L. Schubert: *Feature visualization*, Distill 2017.
# - C. Olah et al.: *The building blocks of interpretability*, Distill 2018 (semantic dictionaries, activation grids).
