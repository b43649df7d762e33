# %% [markdown] slideshow={"slide_type": "slide"}
# # 00 · Start here
#
# **Does it run here, and what will we find out?**
#
# You will be able to
#
# - say whether everything works on this machine, and what to do if not;
# - use the four tools of every lecture: predictions, sliders, checks and hints;
# - explain one picture completely, from the answer back to the pixels.
#
# **Minutes:** 15 for the lecture, 10 for the exercises.
# **Needs:** a little Python. No internet, no mathematics.
#
# Run a cell with **Shift+Enter**. Run them from top to bottom. The first one takes some seconds.
#
# The second one has the **parameters** of the lecture. Change them, then choose *Run > Run All Cells* in the menu.

# %%
import matplotlib.pyplot as plt
import torch

from cnnlab.course import TODO, check, hint, predict, progress, quiz, syllabus
from cnnlab.course.running import doctor
from cnnlab.data import photos
from cnnlab.drawing import charts, images, show
from cnnlab.methods.saliency.cam import class_activation_map, overlay
from cnnlab.nets import models
from cnnlab.widgets.lessons import start

# %% tags=["parameters"]
FAST = False
SEED = 0
PHOTO = "cat"  # or "astronaut", "coffee" ...: photos.names() has them all

# %% slideshow={"slide_type": "slide"}
model = models.load("photonet")  # a network that comes with the course
photo = photos.load(PHOTO, size=64)  # (1, 3, 64, 64), numbers from 0 to 1
scores = model(photo)[0].detach()  # one number for each of 20 classes
probabilities = scores.softmax(dim=0)
answer = model.classes[scores.argmax()]
heatmap = overlay(class_activation_map(model, photo, answer), (64, 64))  # what each pixel gave to the score
best = {model.classes[k]: probabilities[k].item() for k in probabilities.topk(5).indices}
fig, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
images.picture(photo[0], ax=axes[0], title="a picture")
charts.bars(best, ax=axes[1], title=f"answer: {answer}", xlabel="probability")
images.overlay(photo[0], heatmap[0, 0].clamp(min=0), ax=axes[2], title="the pixels that decided")
show(fig, alt=f"Left: the photo '{PHOTO}'. Middle: bars for the five most probable classes; "
              f"'{answer}' is the longest. Right: the photo with the places marked that gave this class "
              "its score.")

# %% [markdown]
# A picture goes in. An answer comes out. And we see *which pixels* decided.
# That is what this course is about.
#
# The network has 64x64 pixels to look at, and twenty words to say. Nobody wrote down what makes a cat:
# it was shown ten thousand photos, each with its word. From lecture 02 on you will train networks yourself.
#
# Why is the map made of squares? The network looks at 8x8 places. Shown are the places that speak *for*
# the answer; those that speak against it stay dark.

# %%
print(", ".join(model.classes))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Does it run here?
#
# A row says *ok*, or *note* where something optional is missing. A *problem* tells you the next step.

# %%
doctor.table()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Predict, then run
#
# You learn more from a result if you have guessed it first. So we ask.
# Choose, lock, and read on. Nobody sees your guess, and a wrong one teaches most.
#
# The code of a question is folded away, since it holds the answer. A click on the three dots shows it.

# %% tags=["predict"]
upside_down = photo.flip(2)
predict(
    "00.p1",
    f"We flip the photo, top to bottom. Does the network still say '{answer}'?",
    options=["yes", "no"],
    truth=lambda: "yes" if model.classes[model(upside_down)[0].argmax()] == answer else "no",
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Sliders
#
# Turn the picture and watch the answer. Where a corner would be empty, the picture is mirrored. Drag the slider, or click it and use the **arrow keys**.
# **Reset** goes back to the start. You can take a picture of your own, too: it stays on this machine.

# %% tags=["widget"]
start.turn()

# %% [markdown] slideshow={"slide_type": "fragment"}
# Where does the answer change? Then choose the **astronaut**. There is no word for her among the twenty.
# What does the network say, and how sure is it?

# %% [markdown] slideshow={"slide_type": "skip"}
# You drag, and the picture stays still? Or a cell says that a name is *not defined*? Then the Python behind this
# page was started anew, and has forgotten everything. Choose *Run > Run All Cells*.

# %% [markdown] tags=["teacher"]
# Use this widget to settle the room: everybody moves one slider, everybody sees a picture change. If a picture
# stays still, the kernel is not running: Kernel > Restart Kernel and Run All Cells.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Can we believe the picture with the marked pixels?
#
# A claim about pixels can be tested: cover them. If they decided, the probability must fall.
# The map on the right stays that of the whole picture. The frame shows what you cover.

# %% tags=["widget"]
start.cover()

# %% [markdown] tags=["teacher"]
# 4 minutes. Ask where to put the square before you move it: on an eye, on the forehead, in a corner. Expected surprise:
# a bright cell covered costs less than a dull one beside it. Keep it for lecture 06b: a map is a claim.


# %% [markdown] slideshow={"slide_type": "subslide"}
# There is a second test. Add up what all pixels gave, also those that spoke against it. Add one more number,
# the **bias** of the class. The sum must be the score: then nothing is left out.

# %%
bias = model.dense.bias[scores.argmax()].detach()
torch.testing.assert_close(heatmap.sum() + bias, scores.max(), atol=1e-3, rtol=0)
print(f"score of '{answer}':       {scores.max():8.4f}")
print(f"sum over all pixels + bias: {heatmap.sum() + bias:8.4f}")

# %% [markdown] tags=["teacher"]
# 2 minutes. Two numbers agree to four digits: this map leaves nothing out. It does not follow that it is useful.


# %% slideshow={"slide_type": "skip"}
quiz("00.q2")

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ## Exercises check themselves
#
# Replace the line `TODO(...)` with your code. Run the cell, then the check below it.
#
# - A wrong answer shows the smallest example on which it fails, and often says what went wrong.
# - Below each check is a button with three hints. Nothing is shown before you press it.
# - Nothing breaks: until your answer is right, the notebook goes on with ours.
#
# ### By hand 00.1: a colour picture becomes grey
#
# The picture is a tensor of shape (3, H, W): three tables, red, green and blue.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def grey(image):
    """The mean over the three colours: (3, H, W) -> (H, W)."""
    # BEGIN SOLUTION: the mean over the three colours
    # hint: Every pixel has three numbers, one per colour. Grey is their mean.
    # hint: The colours are dimension 0. The result has the shape (H, W).
    # hint: return picture.mean(dim=0)
    return image.mean(dim=0)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
grey = check("00.1", grey)

# %% slideshow={"slide_type": "skip"}
hint("00.1")

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 00.2: scores become probabilities
#
# A score is any number, also a negative one. Take e to the power of each score: these weights are positive.
# Then each weight over the sum of all weights is a probability: together they make 1. This is the **softmax**.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def probabilities_of(scores):
    """e to the power of each score, over the sum of these: (K,) -> (K,)."""
    # BEGIN SOLUTION: e to the power of the scores, each over the sum of all
    # hint: Two steps: first make every score positive, then divide by what they add up to.
    # hint: scores.exp() is e to the power of each score; it has the shape (K,), and so has the result.
    # hint: weights = scores.exp(); return weights / weights.sum()
    weights = scores.exp()
    return weights / weights.sum()
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
probabilities_of = check("00.2", probabilities_of)

# %% slideshow={"slide_type": "skip"}
hint("00.2")

# %% [markdown] tags=["bug-hunt"] slideshow={"slide_type": "skip"}
# ### Bug hunt
#
# This function looks for the brightest pixel. On square pictures it is always right.
# Run it on a wide one, find the fault, mend it, and run the check.

# %% tags=["bug-hunt"] slideshow={"slide_type": "skip"}
def brightest(image):
    """Where the largest value stands: (H, W) -> (row, column)."""
    position = image.argmax().item()  # counts the pixels row by row
    return position // image.shape[0], position % image.shape[0]


wide = torch.zeros(4, 9)
wide[1, 5] = 1.0
print("brightest pixel found at", brightest(wide), "- it is at (1, 5)")

# %% tags=["solution"] slideshow={"slide_type": "skip"}
def brightest(image):
    """Where the largest value stands: (H, W) -> (row, column)."""
    position = image.argmax().item()
    return position // image.shape[1], position % image.shape[1]  # a row is as long as the picture is wide

# %% tags=["check"] slideshow={"slide_type": "skip"}
brightest = check("00.bug", brightest)

# %% slideshow={"slide_type": "skip"}
quiz("00.q1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What we will find out
#
# Sixteen lectures; number 06 has two notebooks. The minutes are for the lecture and its exercises.

# %%
syllabus.table()

# %% [markdown] slideshow={"slide_type": "skip"}
# Every word that you will learn is in the [glossary](../notebooks/glossary.md), with the lecture that explains it.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## Keys worth knowing
#
# | key | what it does |
# |---|---|
# | Shift+Enter | run this cell, go to the next |
# | Ctrl+Enter | run this cell, stay |
# | Esc, then A or B | a new cell above or below |
# | Esc, then 0, 0 | restart the kernel (the Python behind this page), when all seems lost; then *Run > Run All Cells* |
# | Tab | go to the next slider or button |
# | arrow keys, Page up, Page down | move a slider, by small and by large steps |
# | Tab while writing code | complete a name |
# | Shift+Tab | show what a function does |

# %% slideshow={"slide_type": "skip"}
progress()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three things to keep
#
# 1. Guess first, then run.
# 2. An explanation is a claim. Test it: cover the pixels, add up the map.
# 3. You cannot break anything. Try.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## New words
#
# | word | meaning |
# |---|---|
# | tensor | a table of numbers with any number of dimensions |
# | shape | how many numbers a tensor has along each dimension, as (3, H, W) |
# | score | the number that a class gets; the largest wins |
# | softmax | e to the power of each score, over the sum of these: it makes probabilities of scores |
# | probability | what the softmax makes of a score: from 0 to 1, and all together 1 |
# | heatmap | one number per pixel: how much it gave to the score |
# | bias | a number that is added whatever the picture: one for each class, or one for each filter |
# | kernel (of Jupyter) | the Python behind a notebook; it has nothing to do with the kernel of a convolution |
#
# ## References
#
# - B. Zhou et al.: *Learning deep features for discriminative localization*, CVPR 2016 (the heatmap of this lecture).
# - Y. Le, X. Yang: *Tiny ImageNet visual recognition challenge*, Stanford CS231n, 2015 (the photos behind the network).
# - M. Sundararajan, A. Taly, Q. Yan: *Axiomatic attribution for deep networks*, ICML 2017 (completeness).
# - K. Simonyan, A. Vedaldi, A. Zisserman: *Deep inside convolutional networks*, 2014, arXiv:1312.6034.
