"""The losses by name are sums of losses; weights go to the cross-entropy, in the labels or beside them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifcn import losses
from minifcn.data.border_weights import WEIGHTED_LABELS
from minifcn.objective import LOSSES, build_loss, is_binary, takes_weights


@given(
    name=st.sampled_from(sorted(LOSSES)),
    by_class=st.booleans(),
    by_pixel=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_is_the_sum_of_its_parts_with_the_weights(name, by_class, by_pixel, seed):
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((2, 3, 4, 1 if is_binary(name) else 2))
    labels = rng.choice(np.uint8([0, 1, 255]), (2, 3, 4))
    class_weights = rng.uniform(0.5, 2, 2) if by_class else None
    given_labels, pixel_weights = labels, None
    if by_pixel:
        given_labels = np.empty(labels.shape, WEIGHTED_LABELS)
        given_labels["label"], given_labels["weight"] = labels, rng.uniform(0.5, 2, labels.shape)
        pixel_weights = given_labels["weight"]
    value, dscores = build_loss(name, class_weights)(scores, given_labels)

    binary = "binary_" if is_binary(name) else ""
    parts = []
    if takes_weights(name):
        entropy = getattr(losses, f"{binary}cross_entropy")
        parts.append(entropy(scores, labels, class_weights=class_weights, pixel_weights=pixel_weights))
    if "dice" in name or "both" in name:
        parts.append(getattr(losses, f"{binary}dice")(scores, labels, squared=name.startswith("squared")))
    assert value == pytest.approx(sum(part for part, _ in parts), rel=1e-12)
    np.testing.assert_allclose(dscores, sum(d for _, d in parts), rtol=1e-12, atol=1e-15)
