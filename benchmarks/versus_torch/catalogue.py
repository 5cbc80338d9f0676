"""The rows of the first table, and how many times faster than the fastest peer we must and want to be."""

from functools import partial

from benchmarks.versus_torch.layers import LayerRow, LossRow, OptimizerRow
from benchmarks.versus_torch.networks import (
    CLASSES,
    NetworkRow,
    small_fcn8s,
    small_model,
    vgg16_fcn8s,
    wide_unet,
)
from benchmarks.versus_torch.rows import Row
from minifcn import initialize, models
from minifcn.layers import Conv2d, ConvTranspose2d

# (batch, height, width): (must, aim), where anything is asked
TRAINING = {
    (8, 64, 64): (2.2, 3.0),
    (1, 224, 224): (1.8, 2.5),
    (1, 512, 512): (2.2, 3.1),
    (1, 375, 500): (1.8, 2.5),
    (4, 321, 321): (None, None),
}
INFERENCE = {
    (8, 64, 64): (2.2, 3.5),
    (1, 224, 224): (1.5, 2.5),
    (1, 512, 512): (1.5, 2.5),
    (1, 375, 500): (None, None),
    (4, 321, 321): (None, None),
}
VGG16_INFERENCE = {(1, 500, 500): (1.3, 2.0), (1, 375, 500): (None, None)}
UNETS = {
    "U-Net": (partial(small_model, "unet"), ((8, 64, 64), (1, 256, 256))),
    "U-Net 64-wide": (wide_unet, ((1, 128, 128), (1, 256, 256))),
}
UNET_WISHES = {"must": 1.8, "aim": 2.5}
MODEL_SHAPE, MODEL_WISHES = (8, 64, 64), {"must": 1.0, "aim": 1.0}  # of all other models: no slower
MEMORY = (1, 512, 512)  # where the peak memory is measured

# (batch, channels in, channels out, size)
CONVOLUTIONS = (
    (8, 3, 16, 64),
    (8, 16, 16, 64),
    (8, 16, 32, 32),
    (8, 32, 32, 32),
    (8, 32, 64, 16),
    (8, 64, 64, 32),
    (8, 128, 128, 16),
    (8, 128, 128, 8),
    (1, 64, 64, 224),
    (1, 256, 256, 56),
    (1, 512, 512, 28),
)
# factor, batch, size
UPSAMPLINGS = ((2, 8, 2), (2, 8, 4), (2, 1, 16), (8, 8, 8), (8, 1, 28), (8, 1, 64))
LOSSES = ((8, 64), (1, 512))


def all_rows() -> list[Row]:
    return [
        *network_rows(),
        *unet_rows(),
        *model_rows(),
        *convolution_rows(),
        *upsampling_rows(),
        *other_rows(),
    ]


def network_rows() -> list[Row]:
    rows: list[Row] = []
    for kind, make, train, wishes in (
        ("train", small_fcn8s, True, TRAINING),
        ("inference", small_fcn8s, False, INFERENCE),
        ("VGG16 inference", vgg16_fcn8s, False, VGG16_INFERENCE),
    ):
        for shape, (must, aim) in wishes.items():
            name = f"{kind} {'x'.join(map(str, shape))}"
            memory = shape == MEMORY
            rows.append(NetworkRow(name, make, (*shape, 3), train, must=must, aim=aim, memory=memory))
    return rows


def unet_rows() -> list[Row]:
    return [
        NetworkRow(
            f"{name} {kind} {'x'.join(map(str, shape))}", make, (*shape, 3), kind == "train", **UNET_WISHES
        )
        for name, (make, shapes) in UNETS.items()
        for kind in ("train", "inference")
        for shape in shapes
    ]


def model_rows() -> list[Row]:
    """Every model that has no rows of its own."""
    shape, size = (*MODEL_SHAPE, 3), "x".join(map(str, MODEL_SHAPE))
    return [
        NetworkRow(
            f"{model} {kind} {size}",
            partial(small_model, model),
            shape,
            kind == "train",
            onnx=False,
            **MODEL_WISHES,
        )
        for model in models.MODELS
        if model not in ("fcn8s", "unet")
        for kind in ("train", "inference")
    ]


def convolution_rows() -> list[Row]:
    """3x3, forward (f) and with all gradients (f+b). Of a layer that reads photographs nobody wants the input's
    gradient: there also without it (f+w)."""
    rows: list[Row] = []
    for N, channels, out, size in CONVOLUTIONS:
        make = partial(Conv2d, channels, out, 3, padding=1, rng=0)
        name, shape = f"conv {N}x{channels}-{out}@{size}", (N, size, size, channels)
        rows.append(LayerRow(f"{name} f", make, shape, backward=False))
        wishes = {"must": 1.5, "aim": 2.7}
        if channels == 3:
            rows.append(LayerRow(f"{name} f+w", make, shape, True, image_gradient=False, **wishes))
            wishes = {}
        rows.append(LayerRow(f"{name} f+b", make, shape, True, **wishes))
    return rows


def upsampling_rows() -> list[Row]:
    rows: list[Row] = []
    for factor, N, size in UPSAMPLINGS:
        for kind, make in (("dense", dense), ("bilinear", bilinear)):
            name, shape = f"upsample {N}x{size} x{factor} {kind}", (N, size, size, CLASSES)
            for suffix, backward in (("f", False), ("f+b", True)):
                rows.append(LayerRow(f"{name} {suffix}", partial(make, factor), shape, backward))
    return rows


def other_rows() -> list[Row]:
    losses = [LossRow(f"loss {N}x{size}x{size}", (N, size, size)) for N, size in LOSSES]
    return [*losses, OptimizerRow("optimiser: SGD")]


def dense(factor: int) -> ConvTranspose2d:
    """Learned upsampling: every class from every class."""
    return ConvTranspose2d(CLASSES, CLASSES, 2 * factor, factor, factor // 2, bias=False, rng=0)


def bilinear(factor: int) -> ConvTranspose2d:
    """Fixed upsampling: bilinear interpolation, each class by itself."""
    layer = dense(factor)
    layer.params["weight"][...] = initialize.bilinear(2 * factor, CLASSES)
    layer.frozen = True
    return layer
