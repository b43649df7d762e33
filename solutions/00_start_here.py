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
# **Needs:** a little Python. No network, no mathematics.
#
# Run a cell with **Shift+Enter**. Run them from top to bottom.

# %%
import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown

from cnnlab.course import TODO, check, doctor, hint, predict, progress, quiz, syllabus
from cnnlab.data import photos
from cnnlab.drawing import charts, images, show
from cnnlab.methods import edges
from cnnlab.widgets import orientation

# %% tags=["parameters"]
FAST = False
SEED = 0
PHOTO = "bricks"

# %% slideshow={"slide_type": "slide"}
photo = photos.load(PHOTO, size=192)  # (1, 3, 192, 192), numbers from 0 to 1
shares = edges.shares(photo)[0]  # four numbers that sum to 1
answer = edges.DIRECTIONS[shares.argmax()]
heatmap = edges.heatmap(photo, answer)
fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
images.picture(photo[0], ax=axes[0], title="a picture")
charts.bars(dict(zip(edges.DIRECTIONS, shares.tolist(), strict=True)), ax=axes[1], title=f"answer: {answer}")
images.overlay(photo[0], heatmap[0, 0], ax=axes[2], title="the pixels that decided")
show(fig, alt=f"Left: a photo of {PHOTO}. Middle: bars for four line directions; {answer} is the longest. "
              "Right: the photo with the pixels marked that gave this answer its score.")

# %% [markdown]
# A picture goes in. An answer comes out. And we see *which pixels* decided.
# That is what this course is about. The answer here comes from four little filters that look for lines.
# You will meet trained networks from lecture 02 on.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Does it run here?
#
# A row says *ok*, or *note* where something optional is missing. A *problem* tells you the next step.

# %%
doctor.table()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Predict, then run
#
# You learn more from a result that you have guessed before. So we ask first.
# Choose, lock, and read on. Nobody sees your guess, and a wrong one teaches most.

# %% tags=["predict"]
predict(
    "00.p1",
    "We turn the photo by 90 degrees. Which lines will win now?",
    options=list(edges.DIRECTIONS),
    truth=lambda: edges.DIRECTIONS[edges.shares(photos.load(PHOTO, size=192).rot90(1, dims=(2, 3))).argmax()],
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Sliders
#
# Turn the picture and watch the answer. Drag the slider, or click it and use the **arrow keys**.
# **Reset** brings the start back. You can take a picture of your own, too: it stays on this machine.

# %% tags=["widget"]
orientation.turn()

# %% [markdown]
# Somewhere between two directions the answer flips. Where, exactly? Is it halfway?

# %% [markdown] tags=["teacher"]
# Use this widget to settle the room: everybody moves one slider, everybody sees a picture change. If a picture
# stays still, the kernel is not running: Kernel > Restart Kernel and Run All Cells.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Can we believe the picture with the marked pixels?
#
# A claim about pixels can be tested: cover them. If they decided, the score must fall.

# %% tags=["widget"]
orientation.cover()

# %% [markdown] slideshow={"slide_type": "subslide"}
# There is a second test. Add up the marked pixels. Their sum should be the score: then nothing is left out.

# %%
score = edges.scores(photo)[0, edges.DIRECTIONS.index(answer)]
assert torch.isclose(heatmap.sum(), score)
print(f"score of '{answer}': {score:.6f}\nsum over all pixels:   {heatmap.sum():.6f}")

# %% slideshow={"slide_type": "skip"}
quiz("00.q2")

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ## Exercises check themselves
#
# Replace the line `TODO(...)` with your code. Run the cell, then the check below it.
#
# - A wrong answer shows the smallest example on which it fails, and often says what went wrong.
# - `hint("00.1")` gives a hint. Run it again for the next. There are three.
# - Nothing breaks: until your answer is right, the notebook goes on with ours.
#
# ### By hand 00.1: a colour picture becomes grey
#
# The picture is a tensor of shape (3, H, W): three tables, red, green and blue.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def grey(picture):
    """The mean over the three colours: (3, H, W) -> (H, W)."""
    # BEGIN SOLUTION: the mean over the three colours
    # hint: Every pixel has three numbers, one per colour. Grey is their mean.
    # hint: The colours are dimension 0. The result has the shape (H, W).
    # hint: return picture.mean(dim=0)
    return picture.mean(dim=0)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
grey = check("00.1", grey)

# %% slideshow={"slide_type": "skip"}
hint("00.1")

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 00.2: scores become shares
#
# Four scores came out of the filters. Turn scores into shares: numbers that sum to 1.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def shares_of(scores):
    """Each score over the sum of all: (K,) -> (K,)."""
    # BEGIN SOLUTION: each score over the sum of all
    # hint: A share says which part of the whole a score is.
    # hint: The result has as many numbers as the scores, and they sum to 1.
    # hint: return scores / scores.sum()
    return scores / scores.sum()
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
shares_of = check("00.2", shares_of)

# %% [markdown] tags=["bug-hunt"] slideshow={"slide_type": "skip"}
# ### Bug hunt
#
# This function looks for the brightest pixel. On square pictures it is always right.
# Run it on a wide one, find the fault, mend it, and run the check.

# %% tags=["bug-hunt"] slideshow={"slide_type": "skip"}
def brightest(picture):
    """Where the largest value stands: (H, W) -> (row, column)."""
    place = picture.argmax().item()  # counts the pixels row by row
    return place // picture.shape[0], place % picture.shape[0]


wide = torch.zeros(4, 9)
wide[1, 5] = 1.0
print("brightest pixel found at", brightest(wide), "- it is at (1, 5)")

# %% tags=["solution"] slideshow={"slide_type": "skip"}
def brightest(picture):
    """Where the largest value stands: (H, W) -> (row, column)."""
    place = picture.argmax().item()
    return place // picture.shape[1], place % picture.shape[1]  # a row has as many pixels as the picture is wide

# %% tags=["check"] slideshow={"slide_type": "skip"}
brightest = check("00.bug", brightest)

# %% slideshow={"slide_type": "skip"}
quiz("00.q1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What we will find out
#
# Sixteen lectures, sixteen questions. The minutes are for the lecture and its exercises.

# %%
Markdown(syllabus.table())

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## Keys worth knowing
#
# | key | what it does |
# |---|---|
# | Shift+Enter | run this cell, go to the next |
# | Ctrl+Enter | run this cell, stay |
# | Esc, then A or B | a new cell above or below |
# | Esc, then 0, 0 | restart the kernel, when all seems lost |
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
# | score | the number that an answer gets; the largest wins |
# | heatmap | one number per pixel: how much it gave to the score |
# | complete | said of a heatmap that adds up to the score |
#
# ## References
#
# - R. Duda, P. Hart: *Pattern Classification and Scene Analysis*, Wiley, 1973 (line masks).
# - M. Sundararajan, A. Taly, Q. Yan: *Axiomatic attribution for deep networks*, ICML 2017 (completeness).
# - K. Simonyan, A. Vedaldi, A. Zisserman: *Deep inside convolutional networks*, 2014, arXiv:1312.6034.
