# %% [markdown] slideshow={"slide_type": "slide"}
# # 07 · Deep dream
#
# **Which picture would the network itself draw?**
#
# You will be able to
#
# - climb: forward, objective, gradient, one step up, again;
# - say why the first try looks like no photo, and three ways to mend it;
# - write and add objectives: a unit, a class, and what a picture may not be;
# - read a place of a map as a sum of icons.
#
# **Minutes:** 50 for the lecture, 40 for the exercises.
# **Needs:** lectures 03, 04 and 06a. No network.

# %%
import matplotlib.pyplot as plt
import torch

from cnnlab.course import TODO, check, hint, predict, progress, quiz
from cnnlab.data import photos, sets
from cnnlab.drawing import charts, images, sheets, show
from cnnlab.methods import dream, top
from cnnlab.nets import icons, models
from cnnlab.probing import receptive, stages
from cnnlab.widgets import dream as widgets

F = torch.nn.functional

# %% tags=["parameters"]
FAST = False
SEED = 0
NET = "photonet"
DATA = "photos"

# %% slideshow={"slide_type": "slide"}
model = models.load(NET)
side = model.input_size[-1]
names = stages(model, torch.zeros(1, *model.input_size))
name = names[len(names) // 2]
data = sets.load(DATA, model.input_size, n=120 if FAST else 400, seed=SEED)
field = receptive.field(model, name, side)
found = top.scan(model, data.images, name, k=9)
chosen = found.values[:, 0].argsort(descending=True)[:3].tolist()
steps = 8 if FAST else 32
drawn = dream.superstimuli(model, name, channels=chosen, steps=steps, seed=SEED).pictures
fig, axes = plt.subplots(2, 3, figsize=(9, 6.1), layout="constrained")
for place, channel in enumerate(chosen):
    nine = top.patches(data.images, found, field, channels=[channel], outside=0.5)[0]
    images.grid(nine, ax=axes[0, place], columns=3, title=f"{name}, {channel}")
    images.picture(drawn[place], ax=axes[1, place], title="drawn for it")
show(fig, alt=f"Three channels of {name}: above the nine pieces of pictures to which each answers most, below a picture drawn for it.")

# %% [markdown]
# Above: the pieces of photos that three units like best (lecture 04). Below: pictures that **nobody took**. Each began as grey
# noise, and was changed until its unit was as active as can be.
#
# A photo shows a unit many things at once. A drawn picture shows only what the unit itself asks for. So it separates the cause
# from what merely comes along.

# %% [markdown] tags=["teacher"]
# 3 minutes. Ask of each column: what do the nine pieces share? Then look below. Often the drawing settles it: it was the curve, not
# the face. Sometimes it surprises everybody.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Climb
#
# 1. **Forward**: show the network a picture.
# 2. **Objective**: read one number off it, such as the activation of a unit.
# 3. **Gradient**: which pixel should change, and which way? (Lecture 06a.)
# 4. **Step up**: change the picture a little. Then again.
#
# It is training, turned round: the weights stay, and the picture learns.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 07.1: one step up
#
# Take the gradient of the objective at the picture. Divide it by its length, so that every step is `rate` long. Add it. Keep the
# picture between 0 and 1.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def ascend(objective, picture, rate):
    """One step up: a function of a picture, (1, C, H, W), number -> (1, C, H, W)."""
    # BEGIN SOLUTION: a copy that asks for gradients; its gradient, made as long as `rate`; added and clamped
    # hint: Three parts: the gradient as in 06a.1, its length by .norm(), the sum with the picture.
    # hint: leaf = picture.clone().requires_grad_(); the gradient is torch.autograd.grad(objective(leaf), leaf)[0].
    # hint: return (picture + rate * slope / slope.norm()).clamp(0, 1)
    leaf = picture.clone().requires_grad_()
    slope = torch.autograd.grad(objective(leaf), leaf)[0]
    return (picture + rate * slope / slope.norm()).clamp(0, 1)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
ascend = check("07.1", ascend)

# %% slideshow={"slide_type": "skip"}
hint("07.1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The first try
#
# From noise, pixel by pixel, with nothing else. The unit will be delighted. And we?

# %% tags=["predict"]
predict(
    "07.p1",
    "We climb from grey noise, pixel by pixel, for the mean of one feature map. What will the picture look like?",
    options=["noise, as at the start", "a pattern in garish colours", "one of the nine pieces"],
    truth="a pattern in garish colours",
)

# %% slideshow={"slide_type": "subslide"}
seeded = torch.Generator().manual_seed(SEED)
picture = (0.5 + 0.02 * torch.randn(1, *model.input_size, generator=seeded)).clamp(0, 1)
film, values = [picture], []
head = torch.nn.Sequential(*list(model.children())[: [k for k, _ in model.named_children()].index(name) + 1])  # up to our layer
for k in range(steps):
    picture = ascend(lambda x: head(x)[0, chosen[0]].mean(), picture, 2.0)  # yours, if it is right
    values.append(head(picture)[0, chosen[0]].mean().item())
    film += [picture] if (k + 1) % (steps // 4) == 0 else []
assert values[-1] > values[0]
show(images.row(film, titles=[f"step {k * (steps // 4)}" for k in range(len(film))]),
     alt=f"A picture at five moments of the climb: it turns from grey noise to a pattern in garish colours, while the activation rises to {values[-1]:.2f}.")
print(f"the mean of the map: from {values[0]:.3f} to {values[-1]:.3f}; the best of {len(data.images)} pictures has "
      f"{max(head(part)[:, chosen[0]].mean(dim=(1, 2)).max().item() for part in data.images.split(64)):.3f}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Why so garish?
#
# The pattern is there, and the map is several times as active as for any photo. But no photo has such colours, and such a fine grain.
# The network never saw them, so nobody taught it to ignore them. The climb takes whatever raises the number, and in a larger network
# that ends in noise altogether. (Lecture 10 makes an attack of it.)
#
# Three ways to mend it:
#
# - **punish** what photos do not have: total variation, L2, blur;
# - **move** the picture before each look: what vanishes when it is shifted by a pixel was no part of it;
# - **draw with waves** instead of pixels: slow waves first, as in photos, with colours as in photos.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 07.2: total variation
#
# The sum of the sizes of all differences between neighbours, side by side and one above the other, in all colours.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def total_variation(picture):
    """How rough a picture is: (1, C, H, W) -> one number, as a tensor."""
    # BEGIN SOLUTION: differences along the rows and along the columns, their sizes, all added
    # hint: Two kinds of neighbours: axis 3 (side by side), axis 2 (one above the other). Each gives one sum.
    # hint: picture.diff(dim=3) has the shape (1, C, H, W - 1). Its sizes are .abs().
    # hint: return picture.diff(dim=2).abs().sum() + picture.diff(dim=3).abs().sum()
    return picture.diff(dim=2).abs().sum() + picture.diff(dim=3).abs().sum()
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
def jitter(picture, down, right):
    """The picture, moved: (1, C, H, W), int, int -> (1, C, H, W)."""
    # BEGIN SOLUTION: roll the picture along its rows and its columns
    # hint: There is a function of torch that moves a tensor round in a circle along chosen axes.
    # hint: torch.roll(x, shifts, dims) takes one shift for each axis; down is axis 2, right is axis 3.
    # hint: return picture.roll((down, right), dims=(2, 3))
    return picture.roll((down, right), dims=(2, 3))
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
jitter = check("07.3", jitter)

# %% slideshow={"slide_type": "skip"}
hint("07.3")

# %% slideshow={"slide_type": "slide"}
wish = dream.channel(name, chosen[0])
tries = {
    "pixels, nothing else": {"parametrise": "pixel", "transforms": ()},
    "pixels, total variation": {"parametrise": "pixel", "transforms": ()},
    "pixels, moved": {"parametrise": "pixel"},
    "waves": {"transforms": ()},
    "waves, moved": {},
}
results = {
    said: dream.render(model, wish - (2.0 * dream.total_variation() if "variation" in said else 0.0 * wish), steps=steps, rate=0.1, seed=SEED, **options)
    for said, options in tries.items()
}
show(images.row([result.pictures for result in results.values()], titles=list(results)),
     alt="One unit, five pictures: by pixels in garish colours; with total variation smoother; moved, with thicker lines; by waves in the colours of photos.")

# %% [markdown]
# One unit, one seed, five ways. Nothing was said about photos but this: how smooth they are, which colours go together, and that they
# may be shifted. The rule is ours. So is part of what we see.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Objectives add
#
# What is wanted, and what is not, is one sum. Objectives print as they are.

# %%
wanted = dream.channel(name, chosen[0]) + 0.5 * dream.channel(name, chosen[1]) - 2.0 * dream.total_variation()
print(wanted)
both = dream.render(model, wanted, steps=steps, rate=0.1, seed=SEED)
alone = [results["waves, moved"], dream.render(model, dream.channel(name, chosen[1]), steps=steps, rate=0.1, seed=SEED)]
show(images.row([alone[0].pictures, alone[1].pictures, both.pictures], titles=[f"channel {chosen[0]}", f"channel {chosen[1]}", "both at once"]),
     alt="Pictures for two channels, and one for the sum of both, in which something of each can be seen.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What is a class?
#
# The same for the logit of a class. The first paper to do so (Simonyan et al. 2014) asked for
#
# $$\arg\max_I \; S_c(I) - \lambda \, \|I\|^2$$
#
# The logit, not the probability. Why? A probability also rises when the *other* classes fall.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 07.4: the objective of a class
#
# The logit of the target, less `strength` times the sum of squares of the picture.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def class_objective(logits, target, picture, strength):
    """S_c(I) - strength * |I|^2: (1, K), int, (1, C, H, W), number -> one number, as a tensor."""
    # BEGIN SOLUTION: the logit of the target, less the penalty
    # hint: Two terms. The first is one entry of logits, the second a sum over the picture.
    # hint: logits[0, target] is the first; (picture ** 2).sum() the sum of squares.
    # hint: return logits[0, target] - strength * (picture ** 2).sum()
    return logits[0, target] - strength * (picture**2).sum()
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
class_objective = check("07.4", class_objective)

# %% slideshow={"slide_type": "skip"}
hint("07.4")

# %%
classes = [int(k * len(model.classes) / 5) for k in range(5)]
seen = dream.render(model, dream.logit(classes) - 0.05 * dream.l2(), steps=steps, rate=0.1, seed=SEED)
show(images.row(list(seen.pictures), titles=[model.classes[k] for k in classes]),
     alt=f"Five pictures, drawn for the classes {', '.join(model.classes[k] for k in classes)}.")

# %% [markdown]
# The network draws no whole animal. It draws what tells one of its classes from the others: a colour, a snout, a row of windows, many
# times over.

# %% slideshow={"slide_type": "skip"}
quiz("07.q1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One unit, many faces
#
# One picture may show one face of a unit. Draw four at once, and reward them for being **different**.

# %%
many = dream.render(model, dream.channel(name, chosen[0]) + 0.2 * dream.diversity(name), batch=4, steps=steps, rate=0.1, seed=SEED)
show(images.row(list(many.pictures), titles=["first", "second", "third", "fourth"]),
     alt=f"Four pictures for channel {chosen[0]} of {name}, drawn together and rewarded for being different.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Draw one yourself
#
# Choose what to ask for. Press **Draw**, and watch. **Stop** when you like it: the picture stays.

# %% tags=["widget"]
widgets.studio()

# %% [markdown] tags=["teacher"]
# 8 minutes. Pixels without moves: noise. Then waves. Then total variation at 5: nothing is left but a soft colour. Let the room choose a
# unit from the sheet below and draw it.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## All units of a layer on one sheet
#
# Drawn once, and shipped with the course. Go from layer to layer: edges and colours, textures, patterns, parts.

# %%
def sheet(k):
    """The icons of the k-th layer from the end, if the course ships them for this network."""
    for layer in icons.layers(NET)[::-1][k : k + 1]:
        all_of_them = icons.load(NET, layer)
        fig, ax = plt.subplots(figsize=(10, 4.4), layout="constrained")
        images.grid(all_of_them[:60], ax=ax, columns=12, title=f"{layer}: what each unit asks for (the first {min(60, len(all_of_them))})")
        show(fig, alt=f"A sheet of small pictures, one for each of the first units of {layer}: what each of them asks for.")


sheet(2)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### One layer further

# %%
sheet(1)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### And the last

# %%
sheet(0)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Deep dream
#
# Begin with a photo, and ask a whole layer for *more of whatever you see*. First on a small copy, then larger and larger: these are
# the **octaves**. So patterns of all sizes appear.

# %% tags=["widget"]
widgets.octaves()

# %% [markdown] tags=["bug-hunt"] slideshow={"slide_type": "skip"}
# ### Bug hunt: the picture that walks away
#
# Somebody moves the picture before each look, by jitter. It works, but in the end the picture has drifted into a smear. `gradient_of` gives
# the gradient at a picture. Find the fault, mend it, and run the check.

# %% tags=["bug-hunt"] slideshow={"slide_type": "skip"}
def jittered_gradient(gradient_of, picture, down, right):
    """The gradient, asked at the moved picture: a function, (1, C, H, W), int, int -> (1, C, H, W)."""
    return gradient_of(picture.roll((down, right), dims=(2, 3)))


dot = torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]])
print("found:", jittered_gradient(lambda x: x, dot, 0, 1).flatten().tolist(), "- the dot stood at the first place")

# %% tags=["solution"] slideshow={"slide_type": "skip"}
def jittered_gradient(gradient_of, picture, down, right):
    """The gradient, asked at the moved picture: a function, (1, C, H, W), int, int -> (1, C, H, W)."""
    return gradient_of(picture.roll((down, right), dims=(2, 3))).roll((-down, -right), dims=(2, 3))  # and back again

# %% tags=["check"] slideshow={"slide_type": "skip"}
jittered_gradient = check("07.bug", jittered_gradient)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does a layer remember?
#
# Turn it round: find a picture whose maps **at one layer** are those of a photo. What comes back is what the layer kept.

# %% tags=["predict"]
predict(
    "07.p2",
    "We draw a picture whose activations are those of the photo, once at the first and once at the last layer. Which comes nearer to the photo?",
    options=["the first layer", "the last layer", "both alike"],
    truth="the first layer",
)

# %% slideshow={"slide_type": "subslide"}
photo = data.images[:1] if DATA != "photos" else photos.load("cat", side)
if photo.shape[1] != model.input_size[0]:
    photo = photo.mean(dim=1, keepdim=True)
back = {layer: dream.invert(model, photo, layer, steps=16 if FAST else 64, seed=SEED) for layer in (names[0], names[len(names) // 2], names[-1])}
show(images.row([photo, *(found.pictures for found in back.values())],
                titles=["the photo", *(f"{layer}: error {found.error.item():.0%}" for layer, found in back.items())]),
     alt="; ".join(["a photo and three pictures drawn from the activations of a layer"] + [f"{layer}, error {found.error.item():.0%}" for layer, found in back.items()]))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Read a place as a sum of icons
#
# At one place of a map stands a vector: one number for each channel. Which channels are strongest there? Show their icons. Move the
# place, and read the network's view aloud.

# %% tags=["widget"]
widgets.dictionary()

# %% slideshow={"slide_type": "skip"}
quiz("07.q2")

# %% slideshow={"slide_type": "slide"}
def top_places(layer):
    """How many rows and columns the maps of a layer have."""
    return receptive.field(model, layer, side).grid


grids = {layer: dream.grid(model, photo, layer, cells=min(6, *top_places(layer)), steps=8 if FAST else 24, seed=SEED) for layer in names[-2:]}
fig, axes = plt.subplots(1, 1 + len(grids), figsize=(12.5, 4.4), layout="constrained")
images.picture(photo, ax=axes[0], title="the photo")
for ax, (layer, found) in zip(axes[1:], grids.items(), strict=True):
    images.picture(sheets.mosaic(found.pictures, found.magnitude), ax=ax, title=f"{layer}, place by place")
show(fig, alt="A photo, and for two layers a mosaic: at each place a small picture of what the layer sees there, the larger the stronger its answer.")

# %% [markdown]
# Each place drew what its whole vector asks for; its size is the vector's length. From layer to layer the cells show larger and more
# definite things: the network's understanding grows.

# %% slideshow={"slide_type": "skip"}
progress()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three things to keep
#
# 1. Feature visualisation is training turned round: the weights stay, the picture climbs.
# 2. Without a rule for what pictures are like, the climb leaves all photos behind. The rule is ours, not the network's.
# 3. Data show what comes along with a cause; a drawn picture shows the cause. Look at both.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## New words
#
# | word | meaning |
# |---|---|
# | objective | the number that the picture is to make large |
# | superstimulus | a picture that excites a unit more than any photo |
# | total variation | the sum of all differences between neighbours |
# | jitter | moving the picture at random before each look |
# | parametrisation | the numbers of which a picture is made: pixels, or waves |
# | octave | a size at which a dream is dreamt, before the next larger one |
# | feature inversion | a picture made from the activations of another |
# | semantic dictionary | a place of a map, told by the icons of its strongest channels |
#
# ## References
#
# - D. Erhan et al.: *Visualizing higher-layer features of a deep network*, 2009 (activation maximisation).
# - K. Simonyan, A. Vedaldi, A. Zisserman: *Deep inside convolutional networks*, 2014, arXiv:1312.6034 (class models).
# - A. Mahendran, A. Vedaldi: *Understanding deep image representations by inverting them*, CVPR 2015, arXiv:1412.0035.
# - A. Mordvintsev, C. Olah, M. Tyka: *Inceptionism: going deeper into neural networks*, 2015 (deep dream).
# - C. Olah, A. Mordvintsev, L. Schubert: *Feature visualization*, Distill 2017.
# - C. Olah et al.: *The building blocks of interpretability*, Distill 2018 (semantic dictionaries, activation grids).
