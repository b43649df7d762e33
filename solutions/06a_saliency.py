# %% [markdown] slideshow={"slide_type": "slide"}
# # 06a · Saliency
#
# **Which pixels decided the class?**
#
# You will be able to
#
# - ask a network about every pixel in three ways: nudge it, walk to it, cover it;
# - write gradient maps, integrated gradients, occlusion and Grad-CAM by hand;
# - check a map by its sum: does it account for the whole score?
# - say why a map of the probability can be blank where the network is most sure.
#
# **Minutes:** 60 for the lecture, 45 for the exercises.
# **Needs:** lectures 01, 03 and 05. No internet.

# %%
import matplotlib.pyplot as plt
import torch

from cnnlab.course import TODO, check, hint, predict, progress, quiz
from cnnlab.data import datasets, photos, shapes, uploads
from cnnlab.drawing import Table, charts, images, maps, show
from cnnlab.methods import occlusion, saliency, targets
from cnnlab.methods.evaluation import all_methods
from cnnlab.nets import models
from cnnlab.widgets.lessons import saliency as widgets

F = torch.nn.functional

# %% tags=["parameters"]
FAST = False  # True: fewer pictures and steps
SEED = 0
NET = "photonet"  # or "shapesnet" with "scenes", "simpleconvnet" with "digits"
DATA = "photos"  # or "scenes", "digits": what the network was made for
IMAGE = ""  # or the path of a picture of yours

# %% slideshow={"slide_type": "slide"}
model = models.load(NET)
side = model.input_size[-1]
if DATA == "photos" and model.input_size[0] == 3:
    inputs = torch.cat([photos.load(name, side) for name in ("rocket", "cat", "flower", "coffee", "temple")])
else:
    inputs = datasets.load(DATA, model.input_size, n=5, seed=SEED).images
if IMAGE:  # the path of a picture of yours
    own = uploads.load(IMAGE, side)
    inputs = torch.cat([own if model.input_size[0] == 3 else own.mean(dim=1, keepdim=True), inputs[:4]])
guess = targets.top_classes(model, inputs, 1)[:, 0]  # the class that the network names, for each picture
said = [targets.class_name(model, number) for number in guess.tolist()]
answers = {
    "gradient": saliency.gradient(model, inputs, guess),
    "integrated\ngradients": saliency.integrated_gradients(model, inputs, guess, steps=10 if FAST else 30),
    "occlusion": all_methods.occlusion_maps(model, inputs, guess),
    "Grad-CAM": saliency.grad_cam(model, inputs, guess),
}
show(maps.sheet(inputs, {name: answer.map for name, answer in answers.items()}, titles=said),
     alt=f"Five pictures, which the network calls {', '.join(said)}, and four maps of each: red speaks for the class, blue against it.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Which pixels made it say so?
#
# Five pictures, and above each **what the network calls it**. photonet knows twenty classes and no others: of these five, only the cat
# is among them, and a rocket becomes a lighthouse. Below: four answers to one question. Red speaks for
# what the network says, blue against it. (± is where the colours of a row end.)
#
# They do not agree. Grad-CAM finds the thing, roughly. The gradient is speckled, red beside blue. Occlusion likes the dark sky around the
# rocket more than the rocket. This lecture is about how each is made. The next one is about which to believe.

# %% [markdown] tags=["teacher"]
# 4 minutes. Let the room say what each map "says" about the rocket. Somebody will find a story for every one of them: that is
# the danger. Ask which one they would show a doctor. Keep the answers for lecture 06b.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three ways to ask about a pixel
#
# The network gives a number for each class, its **logit**. We explain one of them, $f(x)$.
#
# 1. **Nudge** it: by how much does $f$ change if this pixel gets a little lighter? *The gradient.*
# 2. **Walk** to it: go from an empty picture to this one, and add up what each pixel brought. *Integrated gradients.*
# 3. **Cover** it: by how much does $f$ fall if this part is hidden? *Occlusion.*
#
# A fourth way does not ask about pixels but about the last maps: *Grad-CAM*.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Nudge: the gradient
#
# $$\frac{\partial f}{\partial x_i}$$
#
# One number for each pixel and colour. PyTorch computes all of them in one pass back.

# %% tags=["predict"]
predict(
    "06a.p1",
    "A network of one layer: f(x) = the sum of w times x. Two quite different photos. How alike are their gradient maps?",
    options=["identical", "alike", "quite different"],
    truth="identical",
)

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 06a.1: a gradient map
#
# `score` is a function from a picture to one number. Give back the gradient of the score with respect to the picture. Keep
# the sign. Leave the picture as it was: work on a copy.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def gradient_map(score, image):
    """How much more score for a little more of each pixel: a function, (1, C, H, W) -> (1, C, H, W)."""
    # BEGIN SOLUTION: a copy that asks for gradients, its score, the gradient of the score
    # hint: A copy that asks for its gradient is called a leaf: image.clone().requires_grad_().
    # hint: The gradient has the shape of the picture. torch.autograd.grad(score, leaf) gives a tuple with it.
    # hint: leaf = image.clone().requires_grad_(); return torch.autograd.grad(score(leaf), leaf)[0]
    leaf = image.clone().requires_grad_()
    return torch.autograd.grad(score(leaf), leaf)[0]
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
gradient_map = check("06a.1", gradient_map)

# %% slideshow={"slide_type": "skip"}
hint("06a.1")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Identical: it is $w$, whatever the photo. A gradient says how the score **would change**. It does not say what **made** it.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## From the nudge to a share
#
# A black pixel may have a large gradient and still bring nothing: it is not there. So multiply by the pixel itself:
# **gradient x input**. For a linear network it is the whole truth: the shares $w_i x_i$ add up to $f(x)$, but for the bias.

# %%
one, number = inputs[:1], int(guess[0])  # the first picture, and its class
by_hand = gradient_map(lambda x: model(x)[0, number], one)
nudge = saliency.gradient(model, one, number)
away = (by_hand - nudge.map).norm() / nudge.map.norm()
assert away < 0.05, f"two ways to the same gradient differ by {away:.0%}"  # rounding may flip a ReLU that is nearly 0
share = saliency.gradient_x_input(model, one, number)
fig, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
images.picture(one, ax=axes[0], title=said[0])
for ax, name, answer in zip(axes[1:], ("gradient", "gradient x input"), (nudge, share), strict=True):
    flat = answer.map[0].sum(dim=0)  # the colours of a pixel, added up
    images.signed(flat, ax=ax, title=name, limit=maps.shared_limit(flat[None]))
show(fig, alt=f"A picture, its gradient map and its map of gradient times input for the class {said[0]}.")
print(f"the score is {nudge.score.item():.2f}; the shares of gradient x input add up to {share.total.item():.2f}")

# %% [markdown]
# A real network is not linear, and the shares do not add up to the score. What became of the rest?

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Saturation: the nudge comes too late
#
# Take the picture away: make it black. Then bring it back, little by little. On this way the score rises. Does it rise evenly?

# %%
way = saliency.path(model, one, number, steps=20)
sure = saliency.path(model, one, number, steps=20, output="probability")
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
charts.lines({"logit": way.scores[0].tolist()}, x=way.at.tolist(), ax=left, title="the score on the way", xlabel="how much of the picture is there")
charts.lines({"probability": sure.scores[0].tolist()}, x=sure.at.tolist(), ax=right, title="the probability on the way",
             xlabel="how much of the picture is there")
show(fig, alt="Two curves on the way from a black picture to the picture: the logit and the probability of the class.")

# %% [markdown]
# Where the curve is flat, a step along this way brings hardly anything, though anyone could see the class by then. The network is
# **saturated**: enough evidence has come in. A nudge at the end of the way misses what was brought at its beginning.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Walk: integrated gradients
#
# So go the whole way, from a baseline $x'$ to $x$, and take the mean of the gradient along it:
#
# $$\text{IG}_i = (x_i - x'_i) \cdot \frac{1}{n} \sum_{k=1}^{n} \frac{\partial f}{\partial x_i}\Big(x' + \tfrac{k - 1/2}{n} (x - x')\Big)$$
#
# Slope times distance, summed over the way, is the height that was climbed. So the shares add up:
# $\sum_i \text{IG}_i \approx f(x) - f(x')$, and the more points, the closer. That is **completeness**.

# %% tags=["predict"]
predict(
    "06a.p2",
    "f(a, b) = a * b. From the baseline (0, 0) we walk to (3, -1), where f = -3. How much does integrated gradients give to a?",
    truth=-1.5,
)

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 06a.2: integrated gradients
#
# Take the middles of n equal pieces of the way, as in the formula. You may use your `gradient_map`.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def integrated_gradients(score, image, baseline, steps):
    """The share of every pixel of f(image) - f(baseline): a function, (1, C, H, W) twice, int -> (1, C, H, W)."""
    # BEGIN SOLUTION: add the gradients at the middles of the pieces; times (image - baseline); by the number of steps
    # hint: Three parts: a point on the way, the gradient there, the sum over all points. A for loop does.
    # hint: The point is baseline + (k + 0.5) / steps * (image - baseline), for k = 0, 1, ... steps - 1.
    # hint: total += gradient_map(score, point) in the loop; then return (image - baseline) * total / steps
    total = torch.zeros_like(image)
    for k in range(steps):
        point = baseline + (k + 0.5) / steps * (image - baseline)
        total += gradient_map(score, point)
    return (image - baseline) * total / steps
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
integrated_gradients = check("06a.2", integrated_gradients)

# %% slideshow={"slide_type": "skip"}
hint("06a.2")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Half of it. On this way both grow together, so each gets its half: $-1.5$ and $-1.5$.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Does it add up?
#
# The sum of the map must be $f(x) - f(x')$. The **gap** is the sum minus that: it shrinks with more points on the way.

# %%
mine = integrated_gradients(lambda x: model(x)[0, number], one, torch.zeros_like(one), 5)  # yours, if it is right
ours = saliency.integrated_gradients(model, one, number, steps=5).map
assert (mine - ours).norm() < 0.05 * ours.norm()
rows = []
for points in (1, 5) if FAST else (1, 5, 20, 50):
    answer = saliency.integrated_gradients(model, one, number, steps=points)
    rows.append([points, answer.total.item(), answer.difference.item(), answer.gap.item()])
Table(["points on the way", "sum of the map", "f(x) - f(x')", "gap"], rows, f"Does the map of {said[0]} add up?")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How many points, and from where?
#
# Move **points**, and watch the gap. Then change the **baseline**: black, white, grey, or the picture blurred. The question
# is always: compared with *what*? (All sliders here ask photonet, whatever NET says: it answers while you move.)

# %% tags=["widget"]
widgets.path()

# %% [markdown] tags=["teacher"]
# 5 minutes. The map hardly changes from 20 points on; the gap goes to nothing, but not step by step: the network has corners.
# Baseline: take the rocket on white. Ask who has chosen the baseline when somebody shows a map.

# %% [markdown] tags=["bug-hunt"] slideshow={"slide_type": "skip"}
# ### Bug hunt
#
# Somebody wrote the last line of integrated gradients. The maps look right. But they never add up. `gradients` are those at the
# points of the way. Find the fault, mend it, and run the check.

# %% tags=["bug-hunt"] slideshow={"slide_type": "skip"}
def path_average(gradients, image, baseline):
    """Integrated gradients, from the gradients on the way: (n, C, H, W), (1, C, H, W), (1, C, H, W) -> (1, C, H, W)."""
    return gradients.mean(dim=0, keepdim=True)


straight = torch.tensor([[[[2.0, 5.0]]]]).expand(4, -1, -1, -1)  # f = 2a + 5b has this gradient everywhere
print("found:", path_average(straight, torch.ones(1, 1, 1, 2), torch.tensor([[[[0.0, 1.0]]]])).flatten().tolist())
print("But b did not move at all: it should get 0.")

# %% tags=["solution"] slideshow={"slide_type": "skip"}
def path_average(gradients, image, baseline):
    """Integrated gradients, from the gradients on the way: (n, C, H, W), (1, C, H, W), (1, C, H, W) -> (1, C, H, W)."""
    return (image - baseline) * gradients.mean(dim=0, keepdim=True)  # slope times the way that each pixel went

# %% tags=["check"] slideshow={"slide_type": "skip"}
path_average = check("06a.bug", path_average)

# %% slideshow={"slide_type": "skip"}
quiz("06a.q1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Why is a gradient so noisy? SmoothGrad
#
# A ReLU network is a patchwork of linear pieces. From one piece to the next the gradient jumps. So ask many times, each time
# with a little noise on the picture, and take the mean. Move **sigma** and **samples**. How much of the speckle goes? And at which sigma
# would *you* no longer know the picture? (The number below: is a pixel like the one beside it? It does not rise for every picture.)

# %% tags=["widget"]
widgets.smooth()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Guided back-propagation
#
# Lecture 05 had another rule for the way back through a ReLU: pass on what is positive both up and down. It makes the sharpest maps of
# all. Is sharp the same as true? (Here each map fills its own scale: patterns can be compared, strengths cannot.)

# %%
sharp = {
    "gradient": saliency.gradient(model, inputs, guess),
    "SmoothGrad": saliency.smoothgrad(model, inputs, guess, samples=5 if FAST else 15, seed=SEED),
    "guided\nbackprop": saliency.guided_backprop(model, inputs, guess),
}
show(maps.sheet(inputs, {name: answer.map for name, answer in sharp.items()}, titles=said, each=True),
     alt="Five pictures and three maps of each: gradient, SmoothGrad, guided back-propagation. Guided shows edges, sharp as a drawing.")

# %% [markdown] tags=["teacher"]
# 3 minutes. Guided looks like an edge filter. Ask: would it look different for another class? (Hardly. Lecture 06b measures it.)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Cover: occlusion
#
# Slide a grey square over the picture. Ask the network each time. Where the score falls, there was something that it needed.
# No gradient, no rule, no theory: it even works on a network that we cannot look into.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 06a.3: occlusion
#
# Squares of `window` x `window` pixels stand side by side, from the upper left. Those at the right and lower edge may be cut. Cover each in turn
# with the number `fill`, and write down by how much the score **falls**.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def occlusion_drops(score, image, window, fill):
    """How much each square was worth: a function, (1, C, H, W), int, number -> (rows, cols)."""
    # BEGIN SOLUTION: for each row and column of squares: copy, cover, ask, subtract
    # hint: Two loops, over the rows and the columns at which a square begins. Inside: a fresh copy, cover a square, ask for its score.
    # hint: for top in range(0, height, window); covered[:, :, top : top + window, left : left + window] = fill; a slice past the edge is cut by itself.
    # hint: row.append(score(image) - score(covered)); at the end torch.stack([torch.stack(row) for row in rows])
    rows = []
    for top in range(0, image.shape[2], window):
        row = []
        for left in range(0, image.shape[3], window):
            covered = image.clone()
            covered[:, :, top : top + window, left : left + window] = fill
            row.append(score(image) - score(covered))
        rows.append(torch.stack(row))
    return torch.stack(rows)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
occlusion_drops = check("06a.3", occlusion_drops)

# %% slideshow={"slide_type": "skip"}
hint("06a.3")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Window, stride, fill
#
# Large windows find parts, small ones find details, and more noise. The fill is a baseline again: what does *absent* look like? Choose
# one of the guesses, or a single feature map, as Zeiler and Fergus did.

# %% tags=["widget"]
widgets.covering()

# %% [markdown] tags=["teacher"]
# 5 minutes. Window 4: the network does not need any single piece so small. Window 32: half of the cat is gone. Ask for the
# right size: there is none, it is a question about objects of that size.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The same numbers, with less work
#
# A window changes only a part of every map. Why compute the rest again? We keep all maps of the whole picture, and
# per window compute only what the window can reach: its receptive field, turned round. (The few pictures more than there are windows:
# the whole one, and trials of the method.)

# %%
window, both = side // 8, {}
for engine in ("batches", "incremental"):
    both[engine] = found = occlusion.drops(model, one, number, window=window, stride=window // 2, fill=0.5, engine=engine)
    print(f"{engine:12} {found.seconds:6.3f} s for {found.values.numel()} windows, the work of {found.work:.0f} whole pictures")
by_hand = occlusion_drops(lambda x: model(x)[0, number].detach(), one, window, 0.5)  # yours: side by side
side_by_side = occlusion.drops(model, one, number, window=window, stride=window, fill=0.5).values
assert torch.allclose(by_hand, side_by_side, atol=1e-3)
difference = (both["batches"].values - both["incremental"].values).abs().max() / both["batches"].values.abs().max()
assert difference < 1e-4
print(f"largest difference: {difference:.0e} of the largest drop")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The last maps: CAM
#
# photonet takes the mean of each of its last maps, then one dense layer reads the class off the means (lecture 03). So multiply
# each map by its weight and add them up: every place gets its exact share of the logit (all but the bias). That is a
# **class activation map**.
#
# Other networks end in other ways. **Grad-CAM** asks the gradient for the weight of each map:
#
# $$\text{weight}_k = \text{mean over places of } \frac{\partial f}{\partial A_k}, \qquad \text{map} = \text{ReLU}\Big(\sum_k \text{weight}_k \, A_k\Big)$$

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 06a.4: Grad-CAM
#
# `maps` are the last feature maps, `gradients` the gradient of the score with respect to them.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def grad_cam(maps, gradients):
    """Where the last maps speak for the class: (C, h, w), (C, h, w) -> (h, w)."""
    # BEGIN SOLUTION: one weight for each map, the weighted sum of the maps, what is positive of it
    # hint: The weight of a map is one number: the mean of its gradient over all places.
    # hint: gradients.mean(dim=(1, 2)) has the shape (C,). With [:, None, None] it multiplies maps (C, h, w).
    # hint: return (gradients.mean(dim=(1, 2))[:, None, None] * maps).sum(dim=0).clamp(min=0)
    weights = gradients.mean(dim=(1, 2))  # (C,)
    return (weights[:, None, None] * maps).sum(dim=0).clamp(min=0)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
grad_cam = check("06a.4", grad_cam)

# %% slideshow={"slide_type": "skip"}
hint("06a.4")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Where CAM is exact, Grad-CAM is the same
#
# On photonet the gradient of the logit with respect to the last maps is the dense weight, divided by the number of places. So before the ReLU, Grad-CAM is CAM
# divided by that number. Nothing else.

# %%
exact = models.load("photonet").double()
photo = photos.load("cat", 64).double()
one_way, other = saliency.cam(exact, photo, "tabby cat").map, saliency.grad_cam(exact, photo, "tabby cat").map
positions = one_way[0, 0].numel()
difference = (one_way / positions - other).abs().max() / other.abs().max()
assert difference < 1e-12
bias = exact.dense.bias[exact.classes.index("tabby cat")].item()
print(f"largest difference of CAM/{positions} and Grad-CAM: {difference:.0e} of the largest value")
print(f"mean of CAM {one_way.mean():.3f} + bias {bias:.3f} = logit {exact(photo)[0, exact.classes.index('tabby cat')]:.3f}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Five guesses, five maps
#
# A map belongs to a class. Where does the network see its second guess, its third? One picture, five classes, one scale. We draw
# Grad-CAM *before* its ReLU, so what speaks against a class is there, too: blue. Published maps show only the red.

# %%
five = targets.top_classes(model, one, 5)  # (1, 5): several classes at once, for one pass forward
cams, guided_cams = saliency.grad_cam(model, one, five), saliency.guided_grad_cam(model, one, five)
again = one.expand(five.shape[1], -1, -1, -1)
show(maps.sheet(again, {"Grad-CAM": cams.map[0], "guided\nGrad-CAM": guided_cams.map[0]},
                titles=[targets.class_name(model, k) for k in five[0].tolist()]),
     alt="One picture five times, with the maps by Grad-CAM and guided Grad-CAM of the five classes that the network finds most likely.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Logit or probability?
#
# The softmax makes probabilities of the logits. When the network is sure, one of them is nearly 1, and **cannot rise any more**. Its
# gradient is nearly zero. The map of the probability goes blank exactly where the network is most sure.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Five scenes of which a network is sure

# %%
logits = torch.tensor([[12.0, 0.5, -1.0, 0.0]], requires_grad=True)
probability = logits.softmax(dim=1)[0, 0]
(gradient,) = torch.autograd.grad(probability, logits)
print(f"probability {probability:.6f}: its gradient is {gradient[0, 0]:.1e}. The gradient of the logit, with respect to itself, is 1.")
sure, scenes = models.load("shapesnet"), shapes.scenes(5, seed=SEED)  # shapesnet is quite sure of its scenes
pair = {output: saliency.gradient(sure, scenes.images, scenes.labels, output=output) for output in ("logit", "probability")}
chances = [f"{shapes.CLASSES[k]} {p:.4%}" for k, p in zip(scenes.labels.tolist(), pair["probability"].score.tolist(), strict=True)]
show(maps.sheet(scenes.images, {f"gradient of\nthe {output}": answer.map for output, answer in pair.items()}, titles=chances),
     alt=f"Gradients of the logit and of the probability for five scenes, {', '.join(chances)}. Where the network is most sure, the maps "
         "of the probability are blank; those of the logit are not.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### What each of them asks
#
# There is one more difference. A probability also rises when *other* classes fall. So a map of the probability answers "why this class
# and not the others?", and a map of the logit "what speaks for this class?".

# %% slideshow={"slide_type": "skip"}
quiz("06a.q2")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## All of them, on any picture
#
# Choose a method, a class, and a picture. The five guesses share one scale, so a weak map looks weak. Take your own picture, too.

# %% tags=["widget"]
widgets.methods()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Every map brings its numbers
#
# What is its sum? What should the sum be? How many times did a picture go through the network, and how long did it take?

# %%
rows = []
for name, answer in {**answers, **sharp}.items():
    rise = None if answer.difference is None else answer.difference[0].item()
    rows.append([" ".join(name.split()), answer.total[0].item(), answer.score[0].item(), rise, answer.passes.forward,
                 answer.passes.backward, answer.seconds])
Table(["method", "sum of the map", "f(x)", "f(x) - f(x')", "pictures forward", "backward", "seconds"], rows, f"The map of the first picture, {said[0]}")

# %% [markdown]
# Five pictures went in. Integrated gradients promises that its sum is $f(x) - f(x')$, and keeps it up to the gap. The sum of Grad-CAM on
# photonet is the mean of CAM, the logit without the bias; but only before the ReLU (with yours of 06a.4 it is larger). The others promise
# nothing. For occlusion the sum means nothing, since every drop counts for many pixels; "forward" is its work there, in whole pictures.
# (The seconds are those of one call, whatever else the computer did just then.)

# %% slideshow={"slide_type": "skip"}
quiz("06a.q3")

# %% slideshow={"slide_type": "skip"}
progress()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three things to keep
#
# 1. Nudge, walk or cover: three questions about a pixel, and three different answers.
# 2. A complete map adds up to $f(x) - f(x')$. Ask for the baseline and for the gap.
# 3. Explain the logit. A probability near 1 has no gradient left.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## New words
#
# | word | meaning |
# |---|---|
# | saliency map | a number for every pixel: how much it has to do with the answer |
# | attribution | a saliency map whose numbers are shares of a score |
# | logit | the score of a class, before the softmax |
# | gradient | for each input: by how much a number changes if this input grows a little |
# | gradient x input | each pixel times its gradient |
# | integrated gradients | the mean gradient on the way from a baseline, times the way |
# | target | what is explained: the logit of a class, its probability, or a unit |
# | baseline | the picture that stands for "nothing there" |
# | completeness | the shares add up to the score minus that of the baseline |
# | gap (of a map) | its sum, minus what it should be |
# | saturation | more evidence does not raise the score any more: the gradient is small |
# | SmoothGrad | the mean of a map over noisy copies of the picture |
# | occlusion | covering a part and asking again |
# | CAM | the last maps, weighted by the class's own weights: exact where a network ends with a mean |
# | Grad-CAM | the last maps, weighted by the mean of their gradient |
# | guided Grad-CAM | guided back-propagation, times Grad-CAM at each pixel |
#
# ## References
#
# - K. Simonyan, A. Vedaldi, A. Zisserman: *Deep inside convolutional networks*, 2014, arXiv:1312.6034 (gradient).
# - A. Shrikumar et al.: *Not just a black box*, 2016, arXiv:1605.01713 (gradient x input).
# - M. Sundararajan, A. Taly, Q. Yan: *Axiomatic attribution for deep networks*, ICML 2017, arXiv:1703.01365 (integrated gradients).
# - D. Smilkov et al.: *SmoothGrad: removing noise by adding noise*, 2017, arXiv:1706.03825.
# - J. Springenberg et al.: *Striving for simplicity*, 2015, arXiv:1412.6806 (guided back-propagation).
# - M. Zeiler, R. Fergus: *Visualizing and understanding convolutional networks*, ECCV 2014, arXiv:1311.2901 (occlusion).
# - B. Zhou et al.: *Learning deep features for discriminative localization*, CVPR 2016, arXiv:1512.04150 (CAM).
# - R. Selvaraju et al.: *Grad-CAM*, ICCV 2017, arXiv:1610.02391 (also guided Grad-CAM).
