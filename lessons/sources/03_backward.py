# %% [markdown]
# # 3. Backward by hand
#
# **How does a weight at one end of a network learn what the loss, at the other end, wants of it?** By numbers
# that are handed back from layer to layer. You will write the step that hands them back through a convolution,
# and a check that believes nobody, not even you.

# %%
import figures
import matplotlib.pyplot as plt
import numpy as np

from minifcn import check
from minifcn.check import GradientError, check_gradients
from minifcn.check.search import shrink
from minifcn.kernels.im2col import im2col_definition
from minifcn.layers import Conv2d
from minifcn.surgery import to_matrix


def im2col(x, kernel_size, stride=1, padding=0, dilation=1):
    """The patches of lesson 2, (N, Ho, Wo, kh, kw, C), from the library."""
    return im2col_definition(x, kernel_size, *((n, n) for n in (stride, padding, dilation)))


# %% [markdown]
# ## What backward is asked
#
# A layer has made y of x, other layers have made the loss $L$ of y. Now it is given `dy`, an array of y's shape:
# dy[k] is how much $L$ grows for each unit that y[k] grows. It has to answer with `dx`, the same for x, and `dw`
# and `db`, the same for its parameters. The chain rule says how:
#
# $$dx_i = \sum_k dy_k \, \frac{\partial y_k}{\partial x_i}$$
#
# In words: **find every path from $x_i$ to the loss, multiply along each, and add them up.** This sum is the
# whole lesson. Here are the paths of a convolution along a line, with a kernel of three weights:

# %% tags=["thumbnail"]
COLOURS = (figures.BLUE, figures.ORANGE, figures.GREEN)  # of the three weights


def paths(ax, title, formula, chosen, up=True):
    """x below, y above, and an edge for every product; those that `chosen` (k, i, u) says are in colour."""
    for k in range(4):
        for u in range(3):
            on = chosen(k, k + u, u)
            (x0, y0), (x1, y1) = ((k + u, 0.1), (k + 1, 0.9)) if up else ((k + 1, 0.9), (k + u, 0.1))
            style = {"arrowstyle": "-|>", "color": COLOURS[u] if on else figures.PALE, "lw": 2.2 if on else 1}
            ax.annotate("", (x1, y1), (x0, y0), arrowprops=style | {"shrinkA": 5, "shrinkB": 5}, zorder=on)
    for name, height, first, count in (("x", 0, 0, 6), ("y", 1, 1, 4)):
        touched = {
            (i if height == 0 else k) for k in range(4) for u in range(3) for i in [k + u] if chosen(k, i, u)
        }
        for i in range(count):
            colour = "black" if i in touched else figures.GREY
            ax.text(
                i + first,
                height,
                f"{'' if up else 'd' * height}{name}$_{i}$",
                ha="center",
                va="center",
                color=colour,
            )
    ax.set(xlim=(-0.5, 5.5), ylim=(-0.12, 1.12), xlabel=formula)
    ax.set_title(title, fontsize=10)
    ax.spines[:].set_visible(False)
    ax.set(xticks=[], yticks=[])


panels = figures.panels(3, height=2.3, width=3)
paths(
    panels[0],
    "y$_1$ reads three pixels",
    "y$_1$ = w$_0$ x$_1$ + w$_1$ x$_2$ + w$_2$ x$_3$",
    lambda k, i, u: k == 1,
)
paths(
    panels[1],
    "three windows have read x$_2$",
    "dx$_2$ = w$_2$ dy$_0$ + w$_1$ dy$_1$ + w$_0$ dy$_2$",
    lambda k, i, u: i == 2,
    up=False,
)
paths(
    panels[2],
    "w$_1$ was used four times",
    "dw$_1$ = x$_1$ dy$_0$ + x$_2$ dy$_1$ + x$_3$ dy$_2$ + x$_4$ dy$_3$",
    lambda k, i, u: u == 1,
    up=False,
)
for colour, u, ax in zip(COLOURS, range(3), [panels[0]] * 3):
    ax.plot([], [], color=colour, label=f"w$_{u}$")
panels[0].figure.legend(loc="outside lower center", ncols=3, frameon=False)
plt.show()

# %% [markdown]
# Look at the second one: the weights come in *reverse order*. Nobody flipped anything; the paths did.
#
# ## One matrix product
#
# Lesson 2 made a convolution of patches and a matrix: $y = \mathrm{cols} \cdot W$. For such a product the sums
# over paths are two products again:
#
# $$dW = \mathrm{cols}^T \cdot dy \qquad\qquad d\mathrm{cols} = dy \cdot W^T$$
#
# No need to remember what is transposed: there is only one way to multiply them in which the shapes fit. Two
# kernels of 2 × 2 on a picture of 4 × 4:

# %%
rng = np.random.default_rng(3)
picture = rng.integers(0, 4, (1, 4, 4, 1))
cols = im2col(picture, (2, 2)).reshape(9, 4)
W = np.array([[1, 0], [-1, 2], [2, -1], [1, 1]])
y, dy = cols @ W, rng.integers(-2, 3, (9, 2))


def products(*parts):
    """Matrices in a row, each with its name and the sign behind it, cells of one size."""
    columns = [array.shape[1] for array, _, _ in parts]
    axes = figures.panels(len(parts), height=2.6, width=0.36 * max(columns), ratios=columns)
    plt.gcf().get_layout_engine().set(w_pad=0.1)
    for ax, (array, name, sign) in zip(axes, parts):
        figures.matrix(ax, array, name, limit=9, size=7)
        ax.text(1.0, 0.5, f"  {sign}", transform=ax.transAxes, fontsize=13, va="center")


products((cols, "cols", "·"), (W, "W", "="), (y, "y", ""))
backward = (cols.T, "colsᵀ", "·"), (dy, "dy", "="), (cols.T @ dy, "dW", "")
products(*backward, (dy, "dy", "·"), (W.T, "Wᵀ", "="), (dy @ W.T, "dcols", ""))

# %% [markdown]
# ## Sums, not means
#
# A bias is added at every pixel of every image. So many paths it has, each with a factor of 1: `db` is the *sum*
# of dy over images, rows and columns, and one number for each channel is left. If the loss is a mean, it has put
# its 1/N into dy already.
#
# ### Exercise: the bias


# %% tags=["exercise"]
def conv2d_bias_backward(dy):
    """db (C_out,), where dy is (N, Ho, Wo, C_out)."""
    raise NotImplementedError


# %% tags=["solution"]
def conv2d_bias_backward(dy):
    """db (C_out,), where dy is (N, Ho, Wo, C_out)."""
    return dy.sum(axis=(0, 1, 2))


# %%
check.conv2d_bias_backward(conv2d_bias_backward)

# %% [markdown]
# ## A weight is used at every place
#
# All places of all images are rows of cols. So $\mathrm{cols}^T \cdot dy$ adds over all of them, the batch
# included. What remains is to give it the shape of w.
#
# ### Exercise: the weights
#
# `im2col(x, kernel_size, stride, padding, dilation)` of the first cell is at your service; loops are as welcome.
# As in lesson 2, `kernel_size` is a pair, the others are whole numbers.


# %% tags=["exercise"]
def conv2d_weight_backward(dy, x, kernel_size, stride, padding, dilation):
    """dw (kh, kw, C_in, C_out), where dy is (N, Ho, Wo, C_out) and x is (N, H, W, C_in)."""
    raise NotImplementedError


# %% tags=["solution"]
def conv2d_weight_backward(dy, x, kernel_size, stride, padding, dilation):
    """dw (kh, kw, C_in, C_out), where dy is (N, Ho, Wo, C_out) and x is (N, H, W, C_in)."""
    C_in, C_out = x.shape[3], dy.shape[3]
    cols = im2col(x, kernel_size, stride, padding, dilation)
    dw = cols.reshape(-1, np.prod(kernel_size) * C_in).T @ dy.reshape(-1, C_out)
    return dw.reshape(*kernel_size, C_in, C_out)


# %%
check.conv2d_weight_backward(conv2d_weight_backward)

# %% [markdown]
# ## Where windows overlap, gradients add
#
# $d\mathrm{cols}$ has a number for each *copy* of a pixel. im2col copied one pixel into several patches, and each
# copy is the start of a path. So go through the patches, and **add** each where it was taken from. That is
# *col2im*:

# %%
w = np.array([[1, 2, 1], [0, 1, 0], [-1, 0, 2]])
dy = np.array([[1, 2], [-1, 1]])
places = list(np.ndindex(2, 2))
dx, overwritten, count = np.zeros((3, 5, 5))

top, bottom = figures.panels(4, 2, height=2.1)
figures.matrix(top[0], w, "w")
figures.matrix(top[1], dy, "dy, stride 2")
for ax, (i, j) in zip([*top[2:], *bottom[:2]], places):
    patch = slice(2 * i, 2 * i + 3), slice(2 * j, 2 * j + 3)
    dx[patch] += dy[i, j] * w
    overwritten[patch] = dy[i, j] * w
    count[patch] += 1
    figures.matrix(ax, dx, f"{'+' if i + j else ''} {dy[i, j]} w", limit=4)
    figures.window(ax, 2 * i, 2 * j, 3, 3)
bottom[1].set_title(f"+ {dy[1, 1]} w: this is dx", fontsize=10)
figures.matrix(bottom[2], count, "windows at each pixel")
figures.matrix(bottom[3], overwritten, "not added, but overwritten", limit=4)
for row, column in zip(*np.nonzero(overwritten != dx)):
    figures.window(bottom[3], row, column, 1, 1, "black", linewidth=1.5)

# %% [markdown]
# Framed: what is lost if a program says `=` where it should say `+=`.
#
# ## The padding gets nothing
#
# With padding, do the same on the picture and its border; then cut the border off. It is made of zeros that
# nobody can change, so nobody asks for its gradient.
#
# ### Exercise: the input


# %% tags=["exercise"]
def conv2d_input_backward(dy, w, input_shape, stride, padding, dilation):
    """dx of `input_shape` (N, H, W, C_in), where dy is (N, Ho, Wo, C_out) and w is (kh, kw, C_in, C_out)."""
    raise NotImplementedError


# %% tags=["solution"]
def conv2d_input_backward(dy, w, input_shape, stride, padding, dilation):
    """dx of `input_shape` (N, H, W, C_in), where dy is (N, Ho, Wo, C_out) and w is (kh, kw, C_in, C_out)."""
    (N, H, W, C_in), (kh, kw), (Ho, Wo) = input_shape, w.shape[:2], dy.shape[1:3]
    padded = np.zeros((N, H + 2 * padding, W + 2 * padding, C_in))
    for u in range(kh):
        for v in range(kw):
            top, left = u * dilation, v * dilation
            rows, columns = slice(top, top + stride * Ho, stride), slice(left, left + stride * Wo, stride)
            padded[:, rows, columns] += dy @ w[u, v].T
    return padded[:, padding : padding + H, padding : padding + W]


# %%
check.conv2d_input_backward(conv2d_input_backward)

# %% [markdown]
# ## The flip comes by itself
#
# For stride 1, dx is again a convolution: of dy with the kernel turned by 180° and its channels swapped, as the
# paths have shown. And if M is the large matrix of lesson 2, it is $M^T dy$. Three ways to the same numbers:

# %%
layer = Conv2d(2, 3, kernel_size=3, bias=False, rng=0, dtype=np.float64)
x = rng.standard_normal((1, 6, 6, 2))
y, cache = layer.forward(x)
dy = rng.standard_normal(y.shape)
dx, _ = layer.backward(dy, cache)

turned = Conv2d(3, 2, kernel_size=3, padding=2, bias=False, dtype=np.float64)
turned.params["weight"][...] = layer.params["weight"][::-1, ::-1].transpose(0, 1, 3, 2)
by_turned, _ = turned.forward(dy)
by_matrix = (to_matrix(layer, (6, 6, 2)).T @ dy.ravel()).reshape(x.shape)
print("largest difference, turned kernel:", f"{np.abs(by_turned - dx).max():.1e}")
print("largest difference, Mᵀ dy:        ", f"{np.abs(by_matrix - dx).max():.1e}")

# %% [markdown]
# ## Groups
#
# With `groups` = g, the channels of x are cut into g equal parts that lie side by side, and so are those of y.
# Part k of y is a convolution of part k of x alone, with `w[..., part k of C_out]`; w is (kh, kw, C_in / g,
# C_out). Each part goes its own way back, too.
#
# ### Exercise: all of it


# %% tags=["exercise"]
def conv2d_backward(dy, x, w, stride, padding, dilation, groups):
    """(dx, dw, db), of the shapes of x, of w, and (C_out,). Use what you have written."""
    raise NotImplementedError


# %% tags=["solution"]
def conv2d_backward(dy, x, w, stride, padding, dilation, groups):
    """(dx, dw, db), of the shapes of x, of w, and (C_out,). Use what you have written."""
    options = stride, padding, dilation
    dx, dw, db = [], [], conv2d_bias_backward(dy)
    parts = (np.split(array, groups, axis=-1) for array in (dy, x, w))
    for dy_k, x_k, w_k in zip(*parts):
        dx.append(conv2d_input_backward(dy_k, w_k, x_k.shape, *options))
        dw.append(conv2d_weight_backward(dy_k, x_k, w_k.shape[:2], *options))
    return np.concatenate(dx, axis=-1), np.concatenate(dw, axis=-1), db


# %%
check.conv2d_backward(conv2d_backward)

# %% [markdown]
# ## A witness who knows no formula
#
# Is a gradient right? Ask the function itself. Move one number of x a little up, then a little down, and see what
# becomes of the loss. This is the **central difference**:
#
# $$\frac{\partial L}{\partial x_i} \approx \frac{L(x + h e_i) - L(x - h e_i)}{2h}$$
#
# ### Exercise: a numerical gradient
#
# `f` takes an array like x and returns one number. x may have any shape. The check asks for eight digits: how
# large should h be? Try.


# %% tags=["exercise"]
def numerical_gradient(f, x):
    """The gradient of f at x by central differences; float64, of x's shape. x stays as it is."""
    raise NotImplementedError


# %% tags=["solution"]
def numerical_gradient(f, x):
    """The gradient of f at x by central differences; float64, of x's shape. x stays as it is."""
    h, gradient = 1e-5, np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[index] = h
        gradient[index] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient


# %%
check.numerical_gradient(numerical_gradient)

# %% [markdown]
# ## How large a step?
#
# A large step sees the function bend: the error grows as h², or as h if you step to one side only. A small step
# drowns in rounding: L has 16 digits, and what is left of them after subtracting is divided by h. (The loss here
# is $\sum dy \tanh(x W)$, with respect to one weight.)

# %%
x, W, dy = (rng.standard_normal(shape) for shape in ((50, 9), (9, 4), (50, 4)))
exact = (x.T @ (dy * (1 - np.tanh(x @ W) ** 2)))[0, 0]


def loss(step, dtype):
    moved = W.astype(dtype)
    moved[0, 0] += dtype(step)
    return (dy.astype(dtype) * np.tanh(x.astype(dtype) @ moved)).sum()


def error(h, dtype, central=True):
    """Of the difference with this step, relative to the gradient."""
    below = -h if central else 0
    return abs((float(loss(h, dtype)) - float(loss(below, dtype))) / (h - below) / exact - 1)


steps = np.geomspace(1e-14, 1, 85)
ax = figures.panels(1, height=3.3, width=7)
for label, dtype, central in (
    ("float64, central", np.float64, True),
    ("float64, to one side", np.float64, False),
    ("float32, central", np.float32, True),
):
    errors = [error(h, dtype, central) for h in steps]
    ax.loglog(steps, errors, label=label)
    best = np.argmin(errors)
    print(f"{label:21} best at h = {steps[best]:.0e}, where the error is {errors[best]:.0e}")
ax.set(xlabel="step h", ylabel="relative error", ylim=(1e-13, 10))
ax.legend(fontsize=9)
ax.grid(alpha=0.3)

# %% [markdown]
# In **float32** even the best step leaves few digits, and the step that suits float64 gives nonsense. Networks
# train in float32; gradients are checked in float64.
#
# ## How a check can lie
#
# A network ends in many numbers, so a check needs a dy. Many programs take ones: the loss is then the sum of y.
# Here is a softmax with a backward that does *nothing*:

# %%


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)
    return y, y


def lazy(dy, y):
    return np.zeros_like(y)


x = rng.standard_normal((3, 4))
y, _ = softmax(x)
upstream = {"dy = ones": np.ones((3, 4)), "dy drawn": rng.standard_normal((3, 4))}
panels = figures.panels(4, height=1.7, width=2.25)
figures.matrix(panels[0], y, "softmax")
for ax, (name, dy) in zip(panels[1:], upstream.items()):
    figures.matrix(ax, y * (dy - (dy * y).sum(axis=-1, keepdims=True)), f"dx for {name}", limit=0.5)
    try:
        check_gradients(softmax, lazy, {"x": x}, dy)
        print(f"{name}: passes")
    except GradientError as wrong:
        print(f"{name}: {wrong}")
figures.matrix(panels[3], lazy(None, y), "what it says", limit=0.5)

# %% [markdown]
# A softmax's outputs add up to 1. Their sum never changes, so under ones a gradient of zero is right. Draw dy at
# random.
#
# The other lie is a **kink**. A rectifier, max(0, x), has no slope at 0, but the difference finds one:

# %%
x, h = np.linspace(-1, 1, 401), 0.25
measured = (np.maximum(x + h, 0) - np.maximum(x - h, 0)) / (2 * h)
left, right = figures.panels(2, height=2.3, width=4.2)
left.plot(x, np.maximum(x, 0), label="max(0, x)")
right.plot(x, np.where(x > 0, 1.0, 0.0), label="slope")
right.plot(x, measured, label=f"central difference, h = {h}")
right.axvspan(-h, h, color=figures.PALE, zorder=0)
for ax in (left, right):
    ax.legend(fontsize=9)
    ax.grid(alpha=0.3)
    ax.set_xticks((-1, -0.5, 0, 0.5, 1))
print("at x = 0 the difference says", measured[200], "whatever h is")

# %% [markdown]
# Nearer to a kink than h, a right backward looks wrong. So keep the numbers away from kinks: `check.gradients`
# leaves out those where the slopes on both sides differ.
#
# ## The smallest failing case
#
# A wrong function is wrong in most cases. The one to look at is the smallest. *hypothesis* draws cases until one
# fails, then makes it smaller and smaller, as long as it still fails. Let us plant the mistake from above, `=`
# for `+=`, and watch:

# %%


def no_sum(dy, w, input_shape, stride, padding, dilation):
    """As it should be, but for one character."""
    (N, H, W, C), (kh, kw) = input_shape, w.shape[:2]
    padded = np.zeros((N, H + 2 * padding, W + 2 * padding, C))
    for i, j in np.ndindex(dy.shape[1:3]):
        top, left = i * stride, j * stride
        rows = slice(top, top + dilation * (kh - 1) + 1, dilation)
        columns = slice(left, left + dilation * (kw - 1) + 1, dilation)
        padded[:, rows, columns] = np.einsum("no,uvco->nuvc", dy[:, i, j], w)
    return padded[:, padding : padding + H, padding : padding + W]


def fails(case):
    expected, found = exercise.reference(**case), no_sum(**case)
    tried.append((expected.size + case["dy"].size + case["w"].size, not np.allclose(found, expected)))
    return tried[-1][1]


exercise, tried = check.conv2d_input_backward, []
shrink(exercise.cases, fails)
ax = figures.panels(1, height=2.5, width=8)
for state, colour, name in ((True, figures.VERMILLION, "fails"), (False, figures.GREY, "passes")):
    ax.plot(
        *zip(*((k, n) for k, (n, failed) in enumerate(tried) if failed is state)),
        "o",
        color=colour,
        ms=4,
        label=name,
    )
ax.set(yscale="log", xlabel="case tried", ylabel="numbers in dx, dy and w")
ax.legend(fontsize=9)
ax.grid(alpha=0.3)

# %% [markdown]
# The checker does the same with everything you give it, and says what the mistake is if it knows it:

# %%
exercise(no_sum)

# %% [markdown]
# For a layer of your own it needs no answer to compare with, only your forward:

# %%
check.gradients(softmax, lazy, {"x": np.array([[1.0, 2.0, 4.0]])})

# %% [markdown]
# ## What you now know
#
# * Backward sums over paths. For a product of matrices that is two products; for a copy, a sum.
# * db sums dy over images and pixels; dW is colsᵀ dy; dx is dy Wᵀ, added back where the patches came from.
# * The kernel turns round in dx by itself. You never flip it.
# * A check needs float64, a drawn dy, a step near 1e-5, and numbers away from kinks.
# * Look at the smallest case that fails.
#
# Next: [pooling, rectifiers and what a pixel sees](04_pooling.ipynb).
