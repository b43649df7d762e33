# %% [markdown] slideshow={"slide_type": "slide"}
# # 01 · Convolution
#
# **What does one convolution do to a picture?**
#
# You will be able to
#
# - compute a feature map by hand, and write the loops that do it;
# - say how large the map is, for any padding, stride and dilation;
# - read a kernel: what will it do to a photo?
# - count the weights of a convolution, and say why a dense layer needs so many more;
# - say what pooling keeps and what it forgets.
#
# **Minutes:** 50 for the lecture, 40 for the exercises.
# **Needs:** lecture 00, a little Python, no calculus. No internet.

# %%
import matplotlib.pyplot as plt
import torch

from cnnlab.course import TODO, check, hint, predict, progress, quiz
from cnnlab.data import photos
from cnnlab.drawing import charts, images, show
from cnnlab.nets import kernels, layers
from cnnlab.widgets.lessons import convolution

# %% tags=["parameters"]
FAST = False
SEED = 0
PHOTO = "cat"  # or "astronaut", "coffee" ...: photos.names() has them all

# %% slideshow={"slide_type": "slide"}
photo = photos.load(PHOTO, size=160)  # (1, 3, 160, 160)
grey = photo.mean(dim=1, keepdim=True)  # (1, 1, 160, 160)
names = ("identity", "box blur", "sharpen", "outline", "sobel x", "emboss")
maps = [layers.conv2d(grey, kernels.load(name)[None, None]) for name in names]
fig = images.row([feature_map.clamp(0, 1) for feature_map in maps], titles=names, columns=3)
show(fig, alt=f"The photo '{PHOTO}' after six kernels: unchanged, blurred, sharpened, outlined, "
              "only its vertical edges, and lit from one side.")

# %% [markdown]
# Six pictures, one photo. Nine numbers made each of them, and one rule made all.
# This lecture is that rule. A convolutional network is the same rule, many times,
# with numbers that nobody chose.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## A picture is a table of numbers
#
# Zoom in until the numbers show. 0 is black, 1 is white.

# %%
rows, columns = slice(62, 70), slice(56, 64)
fig, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
images.picture(grey[0], ax=axes[0], title="160 x 160 pixels")
images.frame(axes[0], row=62, column=56, height=8, width=8)
images.picture(grey[0, :, rows, columns], ax=axes[1], title="8 x 8 of them")
images.numbers(grey[0, 0, rows, columns], ax=axes[2], title="as numbers", limits=(0, 1))
show(fig, alt="Left: the photo in grey with a small frame. Middle: the 64 pixels in the frame, "
              "enlarged. Right: the same 64 pixels as numbers between 0 and 1.")

# %% [markdown]
# A colour picture has three such tables: red, green, blue. We write its shape as
# (3, H, W): channels, rows, columns. Row 0 is at the top.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## A neuron weighs, adds, and decides
#
# It multiplies every input by a weight. It adds the products and one more number, the bias.
# If the sum is negative, it stays silent: that is the ReLU.
#
# $$y = \max\Big(0,\; b + \sum_s w_s\, x_s\Big)$$

# %%
x = torch.tensor([[0.0, 0.2, 0.9], [0.1, 0.2, 0.8], [0.0, 0.3, 1.0]])
w = kernels.load("sobel x")
b = -0.5
fig = images.equation(x, w, x * w, signs=("\u00d7", "="), titles=("pixels x", "weights w", "products"))
show(fig, alt="Three tables of 3 by 3 numbers: the pixels, the weights, and their products. "
              f"The products add up to {(x * w).sum():.1f}.")
y = max(0.0, b + (x * w).sum().item())
total = (x * w).sum()
print(f"sum of the products {total:.2f}, with the bias {b + total:.2f}, after the ReLU {y:.2f}")

# %% [markdown]
# The pixels are bright on the right, dark on the left. The weights are positive on the right,
# negative on the left. They agree, so the neuron fires.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One neuron, moved over the whole picture
#
# Take a small window of pixels. Weigh it. Write the sum down. Move the window by one. Repeat.
#
# $$y[i, j] = \sum_{s, t} w[s, t]\; x[i + s,\; j + t]$$
#
# The weights $w$ are called the **kernel**. The sums $y$ are called the **feature map**.

# %% tags=["predict"]
predict(
    "01.p1",
    "A window of 3x3 moves over a picture of 8x8 and never leaves it. "
    "How many numbers does it write down?",
    options=[64, 49, 36, 25],
    truth=lambda: layers.conv2d(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 3, 3)).numel(),
)

# %% tags=["widget"]
convolution.scan()

# %% [markdown]
# Move the slider. Watch the frame in the picture, the nine products, and the cell that is filled in.
# Why is the map smaller than the picture?

# %% [markdown] tags=["teacher"]
# 5 minutes. Ask the room to add up one position by hand before you move the slider there. Choose "sobel x", and stop
# at a position without an edge: the products cancel. Then stop at the edge. Two minutes here save ten later.

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 01.1: a convolution in loops
#
# Write it with two loops over the positions. The window stays inside the picture.
# Use the kernel as it is: do not turn it. Stuck? The button below the check has three hints.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def conv2d(image, kernel):
    """Slide the kernel over the picture: (H, W) and (h, w) -> (H-h+1, W-w+1)."""
    # BEGIN SOLUTION: two loops over the positions; multiply the window with the kernel and add
    # hint: Every number of the map belongs to one position of the window. Loop over those positions, not over the pixels.
    # hint: The map has (H-h+1, W-w+1) numbers. The window at (i, j) holds the rows i ... i+h-1 and the columns j ... j+w-1.
    # hint: out[i, j] = (picture[i : i + height, j : j + width] * kernel).sum()
    height, width = kernel.shape
    rows, columns = image.shape[0] - height + 1, image.shape[1] - width + 1
    out = torch.zeros(rows, columns)
    for i in range(rows):
        for j in range(columns):
            out[i, j] = (image[i : i + height, j : j + width] * kernel).sum()
    return out
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
conv2d = check("01.1", conv2d)

# %% slideshow={"slide_type": "skip"}
hint("01.1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Correlation or convolution?
#
# Mathematics flips the kernel, left to right and top to bottom, before it slides it: $\sum w[s,t]\, x[i-s, j-t]$. That is the true convolution.
# Deep learning leaves the flip out. What networks do is a correlation; the name stayed.
# Does it matter?

# %%
spot = torch.zeros(5, 5)
spot[2, 2] = 1.0
arrow = torch.tensor([[0.0, 0.0, 1.0], [0.0, 2.0, 0.0], [3.0, 0.0, 0.0]])
fig, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained")
images.numbers(spot, ax=axes[0], title="one bright pixel")
images.numbers(arrow, ax=axes[1], title="kernel")
images.numbers(conv2d(spot, arrow), ax=axes[2], title="correlation")
images.numbers(conv2d(spot, arrow.flip(0, 1)), ax=axes[3], title="convolution")
show(fig, alt="A picture with one bright pixel, a kernel with 1, 2, 3 on its rising diagonal, "
              "the correlation, which shows the kernel turned by half, "
              "and the convolution, which shows the kernel as it is.")

# %% [markdown] slideshow={"slide_type": "fragment"}
# A correlation prints the kernel turned by half a turn; a convolution prints it as it is.
# For a learned kernel it makes no difference: training finds the flipped numbers instead.
# For a kernel that you type in, it does.

# %% [markdown] tags=["teacher"]
# 3 minutes. Expected wrong answer: "then networks compute something else than they should". No: the weights are
# learned, so they come out flipped. Show a symmetric kernel (Gaussian): no difference at all.


# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does this kernel do?
#
# Numbers that sum to 1 keep the brightness. Numbers that sum to 0 answer only to change.
# Try the presets. Then break one: change a single number, and say first what will happen.

# %% tags=["widget"]
convolution.kernel_editor()

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### A blur is an average
#
# The weights fall off like a bell. Sigma is its width, in pixels.
# What is in the third picture, the difference?

# %% tags=["widget"]
convolution.blur()

# %% [markdown] slideshow={"slide_type": "fragment"}
# The difference holds the edges: what a blur removes is the fine detail.
# So "photo minus blur" is an edge finder, and "photo plus that difference" sharpens.

# %% slideshow={"slide_type": "skip"}
quiz("01.q1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Padding, stride, dilation
#
# - **Padding** puts a border of zeros around the picture, so that the map does not shrink.
# - **Stride** moves the window by more than one pixel. The map becomes small.
# - **Dilation** spreads the kernel's numbers apart. It sees further for the same price.

# %% tags=["widget"]
convolution.geometry()

# %% [markdown] tags=["teacher"]
# 5 minutes. Let the room say the map's size before each preset. Then ask for a setting that keeps 7 pixels with a
# kernel of 5: padding 2. And one that skips the last column: 8 pixels, kernel 3, stride 2.


# %% [markdown] slideshow={"slide_type": "subslide"}
# Five numbers decide: $n$ pixels along the side, a kernel of $k$ numbers, padding $p$ at each end, stride $s$,
# dilation $d$. The dilated kernel reaches over $d\,(k-1)+1$ pixels. So along one side there are
#
# $$\left\lfloor \frac{n + 2p - d\,(k-1) - 1}{s} \right\rfloor + 1 \quad\text{positions.}$$

# %% tags=["predict"]
predict(
    "01.p2",
    "AlexNet's first layer: 224 pixels, kernel 11, stride 4, padding 2. "
    "How many positions along a side?",
    options=[54, 55, 56, 57],
    truth=lambda: layers.output_size(224, 11, stride=4, padding=2),
)

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 01.2: how large is the map?

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def output_size(n, kernel, stride, padding, dilation):
    """How many positions a kernel has along a side of n pixels: ints -> int."""
    # BEGIN SOLUTION: the reach of the dilated kernel, then count the positions
    # hint: How far can the left edge of the window move before its right edge leaves the padded picture?
    # hint: The padded side has n + 2 * padding pixels; the kernel reaches over dilation * (kernel - 1) + 1 of them. The answer is an int.
    # hint: return (n + 2 * padding - reach) // stride + 1
    reach = dilation * (kernel - 1) + 1
    return (n + 2 * padding - reach) // stride + 1
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
output_size = check("01.2", output_size)

# %% slideshow={"slide_type": "skip"}
hint("01.2")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Convolve, add a bias, cut below zero
#
# The bias sets the threshold. The ReLU keeps what lies above it.
# A neuron that looks for an edge now says *how much* edge, or nothing.

# %%
edges = layers.conv2d(grey, kernels.load("sobel x")[None, None])
fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
images.signed(edges[0, 0], ax=axes[0], title="convolve: sobel x")
images.signed(edges[0, 0] - 0.5, ax=axes[1], title="bias: - 0.5")
images.magnitude(layers.relu(edges - 0.5)[0, 0], ax=axes[2], title="ReLU")
show(fig, alt="The same photo in three steps. Sobel x gives positive and negative edges. "
              "The bias lowers all values. The ReLU keeps only the strong edges from dark to bright.")

# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 01.3: bias and ReLU
#
# Several feature maps lie in one tensor, one bias for each.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def bias_relu(maps, bias):
    """Add each channel's bias, then set what is negative to zero: (C, H, W) and (C,) -> (C, H, W)."""
    # BEGIN SOLUTION: add bias[c] to the map of channel c, then max(0, .)
    # hint: Two steps, in this order: the bias first, the ReLU second.
    # hint: bias has shape (C,). It must line up with the first of the three dimensions, so make it (C, 1, 1).
    # hint: return (maps + bias[:, None, None]).clamp(min=0)
    return (maps + bias[:, None, None]).clamp(min=0)
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
bias_relu = check("01.3", bias_relu)

# %% slideshow={"slide_type": "skip"}
hint("01.3")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Several channels: one filter is a stack of kernels
#
# A colour picture has three channels. A **filter** has one **kernel** for each of them.
# Each kernel slides over its own channel. The three maps are added: one filter, one feature map.

# %%
red_not_green = torch.zeros(1, 3, 3, 3)  # (filters, channels, height, width)
red_not_green[0, 0] = 1 / 9
red_not_green[0, 1] = -1 / 9
by_channel = [layers.conv2d(photo[:, c : c + 1], red_not_green[:, c : c + 1]) for c in range(3)]
together = layers.conv2d(photo, red_not_green)
torch.testing.assert_close(sum(by_channel), together)
fig, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
titles = ["red: + 1/9", "green: - 1/9", "blue: 0", "their sum"]
for ax, part, title in zip(axes, [*by_channel, together], titles, strict=True):
    images.signed(part[0, 0], ax=ax, limit=1.0, title=title)
show(fig, alt="Three maps, one per colour channel, and their sum: "
              "positive where the photo is more red than green.")

# %%
quiz("01.q2")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## A convolution is a matrix with almost nothing in it
#
# Write the picture as one long vector. A **dense layer** is a matrix: each output has a row of weights, one for every
# pixel. A convolution is such a matrix, too. But most of its weights are zero, and the others repeat.

# %%
kernel = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)
pixels = torch.eye(36).reshape(36, 1, 6, 6)  # one picture per pixel: all dark but one
matrix = layers.conv2d(pixels, kernel).reshape(36, 16).T  # (16 outputs, 36 pixels)
x = torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(SEED))
torch.testing.assert_close(matrix @ x.flatten(), layers.conv2d(x, kernel).flatten())
ax = charts.matrix(matrix, xlabel="pixel of the 6x6 picture", ylabel="number of the 4x4 map")
show(ax.figure, alt="A matrix of 16 rows and 36 columns. Nine coloured cells in every row form "
                    "narrow bands that move to the right from row to row. All other cells are empty.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### How many weights is that?
#
# **Locality**: a row has 9 weights, not 36. **Sharing**: all rows have the same 9.
# Now count for a real picture.

# %% tags=["predict"]
predict(
    "01.p3",
    "A picture of 64x64, one map of the same size, a kernel of 3x3. "
    "A dense layer needs how many times as many weights?",
    options=["about 500", "about 50 thousand", "about 2 million"],
    truth="about 2 million",
)

# %%
n, k = 64 * 64, 9
counts = {"dense": (n * n, n * n), "local, not shared": (n * k, n * k), "convolution": (k, n * k)}
ax = charts.bars({name: weights for name, (weights, _) in counts.items()}, log=True, xlabel="weights")
show(ax.figure, alt="Bars on a logarithmic scale: a dense layer has 16.8 million weights, "
                    "a local one 37 thousand, a convolution 9.")
for name, (weights, products) in counts.items():
    print(f"{name:18} {weights:>12,} weights {products:>12,} multiplications")

# %% [markdown] tags=["teacher"]
# 4 minutes. The question behind it: why did nobody train dense layers on photos? 16.8 million weights for ONE map.
# Wrong answer to expect: "a convolution also multiplies less because it shares". Look at the last column: local is what
# saves multiplications, sharing saves weights.


# %% slideshow={"slide_type": "skip"}
quiz("01.q3")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Move the picture, and the map moves along
#
# The same weights everywhere: so it does not matter *where* an edge is. We say that a convolution
# is **equivariant** to translation. It is exact, away from the border.

# %%
kernel = kernels.load("outline")[None, None]
moved_then_mapped = layers.conv2d(grey.roll(7, dims=3), kernel)
mapped_then_moved = layers.conv2d(grey, kernel).roll(7, dims=3)
difference = (moved_then_mapped - mapped_then_moved)[..., 9:]  # without what came round the border
assert difference.abs().max() < 1e-5
print(f"moved, then convolved, minus convolved, then moved: {difference.abs().max():.1e} at most")

# %% [markdown] slideshow={"slide_type": "subslide"}
# With a stride of 2 the window skips every other pixel. A shift by 2 moves the map by 1.
# And a shift by 1?

# %% slideshow={"slide_type": "fragment"}
coarse = layers.conv2d(grey, kernel, stride=2)
for shift in (1, 2, 3, 4):
    moved = layers.conv2d(grey.roll(shift, dims=3), kernel, stride=2)
    best = coarse.roll(shift // 2, dims=3)
    print(f"shift {shift}: largest difference {(moved - best)[..., 4:].abs().max():.3f}")

# %% [markdown] tags=["teacher"]
# 3 minutes. This is the seed of a longer talk: a classifier that changes its mind when the photo moves by a pixel.


# %% slideshow={"slide_type": "skip"}
quiz("01.q5")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The way back: transposed convolution
#
# A convolution reads a window and writes one number. Now go the other way: read one number, write a window.
# Every number of the map **stamps** the kernel, times itself, into the picture. Where stamps overlap, they add.
# With stride 2 the stamps stand two pixels apart.

# %%
few = torch.zeros(1, 1, 3, 3)
few[0, 0, 0, 0], few[0, 0, 1, 2] = 1.0, 2.0
stamp = torch.tensor([[[[0.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 1.0, 0.0]]]])
fig, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
for ax, table, title in zip(axes, [few, stamp, layers.conv_transpose2d(few, stamp, stride=2)],
                            ["map", "kernel", "transposed, stride 2"], strict=True):
    images.numbers(table[0, 0], ax=ax, title=title, limits=(0, 4))
show(fig, alt="A 3 by 3 map with a 1 and a 2, a kernel shaped like a plus, and the 7 by 7 result: "
              "the plus once, and once doubled, two pixels apart for every step in the map.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Why "transposed"?
#
# Above, a convolution was a matrix. Call it $A$: it has one row for each number of the map. Mirror the matrix along its diagonal,
# so that rows become columns. This is its **transpose** $A^T$, and it does just that stamping.
#
# It does not undo the convolution. But it is its **adjoint**. Write $\langle a, b\rangle$ for: multiply number by
# number, and add up. Then for every picture $x$ and every map $y$
#
# $$\langle A x,\; y\rangle = \langle x,\; A^T y\rangle.$$
#
# So we can compare in the map, or back in the picture: the result is the same. We try it on random numbers.

# %%
generator = torch.Generator().manual_seed(SEED)
x = torch.randn(1, 2, 9, 9, generator=generator, dtype=torch.float64)
weight = torch.randn(4, 2, 3, 3, generator=generator, dtype=torch.float64)
y = torch.randn(1, 4, 5, 5, generator=generator, dtype=torch.float64)
left = (layers.conv2d(x, weight, stride=2, padding=1) * y).sum()
right = (x * layers.conv_transpose2d(y, weight, stride=2, padding=1)).sum()
assert abs(left - right) < 1e-10
print(f"compared in the map:     {left:.10f}\ncompared in the picture: {right:.10f}")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The same thing, seen from the other side
#
# Stride 2, transposed, in one dimension. Shi and others (2016) noticed: even outputs use only the even weights,
# odd outputs only the odd ones. So it is two ordinary convolutions whose results are shuffled together like cards.
# That is **sub-pixel convolution**.

# %%
x = torch.tensor([1.0, 2.0, 3.0, 4.0])
w = torch.tensor([1.0, 10.0, 100.0, 1000.0])
transposed = layers.conv_transpose2d(x[None, None, None], w[None, None, None], stride=(1, 2)).flatten()
padded = torch.nn.functional.pad(x, (1, 1))[None, None, None]
# The flip: a transposed one convolves.
even = layers.conv2d(padded, w[0::2].flip(0)[None, None, None]).flatten()
odd = layers.conv2d(padded, w[1::2].flip(0)[None, None, None]).flatten()
shuffled = torch.stack([even, odd], dim=1).flatten()
assert torch.equal(transposed, shuffled)
print("transposed, stride 2:", transposed.int().tolist())
print("even and odd, shuffled:", shuffled.int().tolist())

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Max pooling, and what it forgets
#
# Cut the map into windows of 2x2. Keep the largest number of each. The map is now a quarter of its size,
# and a small shift often changes nothing. What is lost?

# %%
small = torch.tensor([[1.0, 3, 2, 0], [4, 2, 1, 1], [0, 1, 5, 6], [2, 1, 8, 7]])[None, None]
pooled, switches = layers.max_pool2d(small, 2)
restored = layers.max_unpool2d(pooled, switches, small.shape)
fig, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
tables = [small, pooled, switches.float(), restored]
titles = ["map", "pooled", "switches: which pixel", "unpooled"]
for ax, table, title, most in zip(axes, tables, titles, [8, 8, 15, 8], strict=True):
    images.numbers(table[0, 0], ax=ax, title=title, decimals=0, limits=(0, most))
show(fig, alt="A map of 4 by 4 numbers; the largest of each 2 by 2 window; the index of the pixel "
              "where each stood; and the unpooled map: the four largest numbers back at their places, "
              "and zeros elsewhere.")

# %% [markdown] slideshow={"slide_type": "fragment"}
# The **switches** remember where each maximum stood. With them we can put the four numbers back.
# The other twelve are gone. Lecture 05 walks back through a whole network this way.

# %% [markdown] tags=["teacher"]
# 2 minutes. Let somebody unpool by hand at the board before the last table is looked at.


# %% [markdown] tags=["exercise"] slideshow={"slide_type": "skip"}
# ### By hand 01.4: max pooling that remembers
#
# The windows do not overlap. What does not fill a window at the edge is left out. Of equal values, the first wins.
# A switch is a whole number (torch.int64). It counts the pixels of the whole picture, row by row:
# `row * W + column`.

# %% tags=["exercise"] slideshow={"slide_type": "skip"}
def max_pool(image, size):
    """Largest value of each window and where it stood: (H, W) -> two of (H // size, W // size)."""
    # BEGIN SOLUTION: for each window its largest value, and the index row * W + column of that pixel
    # hint: Two loops over the windows. In each window you need a value and a place.
    # hint: Both results have the shape (H // size, W // size). `window.argmax()` counts inside the window: turn it into row and column of the picture.
    # hint: row, column = i * size + place // size, j * size + place % size; switches[i, j] = row * picture.shape[1] + column
    rows, columns = image.shape[0] // size, image.shape[1] // size
    pooled = torch.zeros(rows, columns)
    switches = torch.zeros(rows, columns, dtype=torch.int64)
    for i in range(rows):
        for j in range(columns):
            window = image[i * size : (i + 1) * size, j * size : (j + 1) * size]
            position = window.argmax().item()
            row, column = i * size + position // size, j * size + position % size
            pooled[i, j] = image[row, column]
            switches[i, j] = row * image.shape[1] + column
    return pooled, switches
    # END SOLUTION

# %% tags=["check"] slideshow={"slide_type": "skip"}
max_pool = check("01.4", max_pool)

# %% slideshow={"slide_type": "skip"}
hint("01.4")

# %% slideshow={"slide_type": "skip"}
quiz("01.q4")

# %% [markdown] tags=["bug-hunt"] slideshow={"slide_type": "skip"}
# ### Bug hunt
#
# Somebody added a stride to the loops. The map has the right size. It even looks plausible.
# Run the next two cells, find the fault, mend it, and run the check again.

# %% tags=["bug-hunt"] slideshow={"slide_type": "skip"}
def strided_conv2d(image, kernel, stride):
    height, width = kernel.shape
    rows = (image.shape[0] - height) // stride + 1
    columns = (image.shape[1] - width) // stride + 1
    out = torch.zeros(rows, columns)
    for i in range(rows):
        for j in range(columns):
            out[i, j] = (image[i : i + height, j : j + width] * kernel).sum()
    return out


once = strided_conv2d(grey[0, 0], kernels.load("outline"), stride=1)
twice = strided_conv2d(grey[0, 0], kernels.load("outline"), stride=2)
titles = ["stride 1", "stride 2: what is wrong?"]
fig = images.row([once.abs().clamp(0, 1), twice.abs().clamp(0, 1)], titles=titles)
show(fig, alt="Left: the outline of the whole photo. Right: the map of stride 2. "
              "Compare which part of the photo it shows.")

# %% tags=["solution"] slideshow={"slide_type": "skip"}
def strided_conv2d(image, kernel, stride):
    height, width = kernel.shape
    rows = (image.shape[0] - height) // stride + 1
    columns = (image.shape[1] - width) // stride + 1
    out = torch.zeros(rows, columns)
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride  # the fault: the window moved by 1, whatever the stride
            out[i, j] = (image[top : top + height, left : left + width] * kernel).sum()
    return out

# %% tags=["check"] slideshow={"slide_type": "skip"}
strided_conv2d = check("01.bug", strided_conv2d)

# %% [markdown] tags=["teacher"]
# The broken map of stride 2 shows the upper left quarter of the photo at full detail. A right one shows the
# whole photo at half the size. Let students say what they see before they read the code.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three things to keep
#
# 1. A convolution slides one small set of weights over the picture, and adds: local and shared.
# 2. So it needs few weights, and a shifted picture gives a shifted map.
# 3. Its transpose goes back to pixels, but it is not an inverse; and pooling forgets all but the largest.

# %% slideshow={"slide_type": "skip"}
progress()

# %% [markdown] slideshow={"slide_type": "skip"}
# ## New words
#
# | word | meaning |
# |---|---|
# | neuron | weighs its inputs, adds them up with a bias, and stays silent below zero |
# | weight | a number by which an input is multiplied; training chooses it |
# | convolution | one small table of weights, slid over the picture: multiply, add, move on |
# | kernel | the small table of weights for one input channel |
# | filter | one kernel for every input channel; gives one feature map |
# | feature map | the numbers that a filter writes down, one per position |
# | channel | one of the tables stacked in a picture or in a layer's output |
# | layer | one step of a network, for instance all filters that read the same input |
# | dense layer | a layer in which every output weighs every input |
# | correlation (of a picture and a kernel) | what networks call a convolution: the kernel is not flipped |
# | padding | a border of zeros around the picture |
# | stride | the step of the window, in pixels |
# | dilation | how far apart the numbers of the kernel stand |
# | ReLU | max(0, x) |
# | locality | each number of the map depends on one small window only |
# | weight sharing | the same weights are used at every position |
# | equivariant | moving the input moves the output in the same way |
# | adjoint | the way back for which comparing in the map and comparing in the picture give the same number |
# | transposed convolution | the adjoint of a convolution: stamps the kernel for every number of the map |
# | sub-pixel convolution | ordinary convolutions whose results are shuffled together; it equals a transposed one |
# | max pooling | of each window only the largest number is kept |
# | switches | where the maximum of each pooling window stood |
#
# ## References
#
# - V. Dumoulin, F. Visin: *A guide to convolution arithmetic for deep learning*, 2016, arXiv:1603.07285.
# - Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: *Gradient-based learning applied to document recognition*, Proc. IEEE, 1998.
# - W. Shi et al.: *Is the deconvolution layer the same as a convolutional layer?*, 2016, arXiv:1609.07009.
# - M. Zeiler, R. Fergus: *Visualizing and understanding convolutional networks*, ECCV 2014 (switches).
# - I. Sobel, G. Feldman: *A 3x3 isotropic gradient operator for image processing*, talk at the Stanford AI Project, 1968.
