"""im2col: the patches under a sliding kernel as the rows of a matrix; and col2im, its transpose.

A convolution is then one matrix product: (pixels, kh kw C) times (kh kw C, C_out). im2col copies every pixel
to each of the kh kw places where the kernel meets it. col2im goes the other way and adds what comes together,
because the gradient of a copy is a sum.

Both work on a band of output rows, counted through the whole batch (row r is row r % Ho of image r // Ho), so
that the matrix never needs more memory than a band.

Source: Chellapilla, Puri & Simard, High performance convolutional neural networks for document processing
(2006), section 2.
"""

import numpy as np

from minifcn.kernels.jit import kernel, prange


def im2col_definition(x, kernel_size, stride, padding, dilation):
    """cols[n, i, j, u, v, c] = x[n, i s + u d - p, j s + v d - p, c], and 0 outside the image."""
    (N, H, W, C), (kh, kw), (sh, sw), (ph, pw), (dh, dw) = x.shape, kernel_size, stride, padding, dilation
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    Ho = (H + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    Wo = (W + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    cols = np.empty((N, Ho, Wo, kh, kw, C), x.dtype)
    for u in range(kh):
        for v in range(kw):
            rows = slice(u * dh, u * dh + sh * (Ho - 1) + 1, sh)
            columns = slice(v * dw, v * dw + sw * (Wo - 1) + 1, sw)
            cols[:, :, :, u, v] = padded[:, rows, columns]
    return cols


@kernel(parallel=True)
def im2col(x, cols, first_row, Ho, first_channel, stride, padding, dilation):
    """Fill cols (rows, Wo, kh, kw, C) with the patches of the output rows from `first_row` on.

    C may be less than the channels of x: then it is the group of channels from `first_channel` on.
    """
    H, W = x.shape[1], x.shape[2]
    rows, Wo, kh, kw, C = cols.shape
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    for r in prange(rows):
        n, i = divmod(first_row + r, Ho)
        for j in range(Wo):
            for u in range(kh):
                h = i * sh + u * dh - ph
                for v in range(kw):
                    w = j * sw + v * dw - pw
                    if 0 <= h < H and 0 <= w < W:
                        for c in range(C):
                            cols[r, j, u, v, c] = x[n, h, w, first_channel + c]
                    else:
                        for c in range(C):
                            cols[r, j, u, v, c] = 0


@kernel(parallel=True)
def col2im(cols, x, first_row, Ho, first_channel, stride, padding, dilation):
    """Add cols (rows, Wo, kh, kw, C) to the pixels of x that im2col copied them from.

    A thread owns rows of x and fetches what belongs there, so no two threads add to one pixel. A pixel's sum has
    the same order, and so the same bits, however the work is cut into bands and threads.
    """
    H, W = x.shape[1], x.shape[2]
    rows, Wo, kh, kw, C = cols.shape
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    first_image, last_image = first_row // Ho, (first_row + rows - 1) // Ho
    for q in prange((last_image - first_image + 1) * H):
        n, h = first_image + q // H, q % H
        for u in range(kh - 1, -1, -1):  # so i ascends, as it does from band to band
            i, remainder = divmod(h + ph - u * dh, sh)
            r = n * Ho + i - first_row
            if remainder == 0 and 0 <= i < Ho and 0 <= r < rows:
                for j in range(Wo):
                    for v in range(kw):
                        w = j * sw + v * dw - pw
                        if 0 <= w < W:
                            for c in range(C):
                                x[n, h, w, first_channel + c] += cols[r, j, u, v, c]
