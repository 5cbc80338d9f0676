"""exp and log that become vector instructions in a loop: no call, no branch, one series each.

Both take a number apart into a power of two, which is in the exponent of a float, and a rest near 1.
"""

import math

import numpy as np

from minifcn.kernels.jit import kernel

# A float32 is stored as its exponent plus 127, followed by 23 binary digits.
BIAS, DIGITS = np.int32(127), np.int32(23)
TO_WHOLE = np.float32(3 << 22)  # a number of this size has no digits left for a fraction
FROM_HALF = np.float32(1).view(np.int32) - np.float32(math.sqrt(0.5)).view(np.int32)

# ln 2 in two parts. The first has nine digits only: its product with a whole number up to 2^15 is exact.
LN2 = math.log(2)
LN2_HIGH, LN2_LOW, PER_LN2 = np.float32(355 / 512), np.float32(LN2 - 355 / 512), np.float32(1 / LN2)
ONE, C2, C3, C4, C5, C6, C7 = (np.float32(1 / math.factorial(k)) for k in range(1, 8))
LOWEST = np.float32(-87.3)


@kernel
def exp(x):
    """e^x for x <= 0 in float32, to 1e-7 of itself; 0 below -87.3, where a float32 loses digits; NaN for NaN.

    With n = x / ln 2, rounded, and r = x - n ln 2, which is between -0.35 and 0.35, it is 2^n e^r. The Taylor
    series of e^r up to r^7 / 7! is good to 5e-9. Source: Moshier, Cephes library, expf.
    """
    moved = x * PER_LN2 + TO_WHOLE  # its last digits are those of n
    n = moved - TO_WHOLE
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    series = ((((((C7 * r + C6) * r + C5) * r + C4) * r + C3) * r + C2) * r + ONE) * r + ONE
    power = np.int32((np.float32(moved).view(np.int32) + BIAS) << DIGITS).view(np.float32)
    return np.float32(0) if x < LOWEST else series * power


@kernel
def log(x):
    """ln x for 1 <= x < 2^100 in float64, to 2e-9 of itself; NaN for NaN.

    With x = 2^n m, m between √½ and √2, it is n ln 2 + 2 artanh t where t = (m - 1) / (m + 1), which is between
    -0.18 and 0.18. The Taylor series: artanh t = t + t^3 / 3 + t^5 / 5 + ...
    """
    n = np.int32(np.int32(np.float32(x).view(np.int32) + FROM_HALF) >> DIGITS) - BIAS
    m = x * np.int32((BIAS - np.int32(n)) << DIGITS).view(np.float32)
    t = (m - 1.0) / (m + 1.0)
    q = t * t
    return np.int32(n) * LN2 + 2.0 * t * (1.0 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9)))))
