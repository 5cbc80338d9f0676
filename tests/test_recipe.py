"""The road from a classifier to segmentation: learn windows, convolutionize, look at scenes, upsample."""

import numpy as np
import pytest

from minifcn import initialize, losses, metrics, models, optim, surgery
from minifcn.data import Preprocessing, Shapes
from minifcn.layers import ConvTranspose2d

WINDOW = 32
normalize = Preprocessing((128.0, 128.0, 128.0), 64.0)


def windows(scenes, rng, count):
    """Random windows of the scenes, as many of each class; a window's class is that of the pixel in its middle."""
    H, W = scenes.labels.shape[1:]
    n = rng.integers(0, len(scenes), 4 * count)
    i, j = rng.integers(0, H - WINDOW + 1, 4 * count), rng.integers(0, W - WINDOW + 1, 4 * count)
    labels = scenes.labels[n, i + WINDOW // 2, j + WINDOW // 2]
    chosen = np.concatenate([np.flatnonzero(labels == k)[: count // 4] for k in range(4)])
    places = zip(n[chosen], i[chosen], j[chosen])
    images = np.stack([scenes.images[a, b : b + WINDOW, c : c + WINDOW] for a, b, c in places])
    return normalize(images), labels[chosen]


@pytest.mark.slow
def test_from_a_classifier_of_windows_to_a_segmentation_of_scenes():
    rng, steps = np.random.default_rng(0), 1000
    scenes, held_out = Shapes(600, seed=1), Shapes(20, seed=2)
    net = models.window_net(4, rng=0)
    optimizer, schedule = optim.Adam(net.params), optim.one_cycle(6e-3, steps)
    for step in range(steps):
        images, labels = windows(scenes, rng, 64)
        scores, tape = net.forward(images)
        # A window has one label: to the loss it is an image of one pixel.
        _, dscores = losses.cross_entropy(scores[:, None, None], labels[:, None, None])
        optimizer.step(net.backward(dscores[:, 0, 0], tape), schedule(step))

    fcn = surgery.convolutionize(net, (WINDOW, WINDOW, 3))
    maps = fcn(normalize(held_out.images))  # one pass; place (i, j) is the window that starts at (4 i, 4 j)
    assert maps.shape == (20, 9, 9, 4)
    upsample = ConvTranspose2d(4, 4, kernel_size=8, stride=4, padding=2, bias=False)
    upsample.params["weight"] = initialize.bilinear(8, 4)
    scores, _ = upsample.forward(maps)
    # The middle of window 0 is pixel 16, and upsampled pixels 0 to 3 lie around it.
    seen = held_out.labels[:, WINDOW // 2 - 2 :, WINDOW // 2 - 2 :][:, : scores.shape[1], : scores.shape[2]]
    hist = metrics.confusion(seen, scores.argmax(-1), 4)
    guessing_background = metrics.mean_iou(metrics.confusion(seen, np.zeros_like(seen), 4))
    assert metrics.mean_iou(hist) > 0.6 > 3 * guessing_background
    assert (metrics.iou(hist) > 0.4).all(), "every class is found"
