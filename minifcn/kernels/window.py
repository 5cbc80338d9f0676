"""Where a sliding window stops: what convolution and pooling have in common."""

from typing import NamedTuple


class Window(NamedTuple):
    """Where the kernel stops: (vertical, horizontal) sizes in pixels."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """How many places the kernel has in an image of `size`: floor((n + 2p - d(k - 1) - 1) / s) + 1."""
        h, w = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, self.kernel_size, self.stride, self.padding, self.dilation)
        )
        return h, w

    @property
    def copies(self) -> bool:
        """Whether patches differ from the pixels themselves; a 1x1 kernel at stride 1 sees just the pixels.

        Not if it is dilated: a transposed convolution may then have output padding, pixels that it skips.
        """
        return self != Window((1, 1), groups=self.groups)
