"""Reading an image where a pooling has found its maxima: the gradient of an unpooling."""

from minifcn.kernels.team import share, team


@team
def gather(thread, threads, image, argmax, y):
    """y[n, i, j, c] = pixel argmax[n, i, j, c] = h W + w of the image, channel by channel; 0 for place -1."""
    N, Ho, Wo, C = y.shape
    W = image.shape[2]
    begin, end = share(N * Ho, thread, threads)
    for r in range(begin, end):
        n, i = divmod(r, Ho)
        for j in range(Wo):
            for c in range(C):
                place = argmax[n, i, j, c]
                y[n, i, j, c] = image[n, place // W, place % W, c] if place >= 0 else 0


@team
def gather_2x2(thread, threads, image, where, y):
    """The same for the maxima of `max_pool_2x2`: where[...] = which of the four pixels, row by row."""
    (N, Ho, Wo, C), (_, H, W, _) = y.shape, image.shape
    begin, end = share(N * Ho, thread, threads)
    for r in range(begin, end):
        n, i = divmod(r, Ho)
        top, bottom = image[n, 2 * i], image[n, min(2 * i + 1, H - 1)]
        for j in range(Wo):
            left, right = 2 * j, min(2 * j + 1, W - 1)
            a, b, d, e = top[left], top[right], bottom[left], bottom[right]
            at, out = where[n, i, j], y[n, i, j]
            for c in range(C):
                p, q, r, s = a[c], b[c], d[c], e[c]  # all four, so that the loop has no branches
                is_right = (at[c] & 1) != 0
                upper, lower = q if is_right else p, s if is_right else r
                out[c] = lower if at[c] > 1 else upper
