"""The benchmark against PyTorch, kept alive: its twins compute the same, its tables can be written."""

import dataclasses
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.versus_torch import alone, catalogue, history, machine, measure, report
from benchmarks.versus_torch.layers import NUMPY_ML, LayerRow, LossRow, OptimizerRow
from benchmarks.versus_torch.networks import NetworkRow
from benchmarks.versus_torch.rows import OURS, UnequalError, check_equal, network_work
from benchmarks.versus_torch.scaling import shapes
from benchmarks.versus_torch.timing import Effort, contest, summary
from minifcn import layers, models, surgery
from minifcn.network import Network

TINY = Effort(block=0.001, rounds=2, budget=0.0, least=1)
MACHINE = {
    "cpu": "a processor", "processors": 2, "lanes": 8, "threads": 2, "python": "3", "versions": {"numpy": "2"},
    "date": "today", "load": 0.0, "fma_peak": 1e11, "fma_peak_1": 6e10, "copy_bandwidth": 1e10,
    "copy_bandwidth_1": 9e9,
}  # fmt: skip


def small_net():
    """FCN-8s with few channels. Zeros are replaced, as they would hide mistakes."""
    net = models.fcn8s(21, widths=(2, 3, 4, 5, 6), convs=1, fc=7, rng=0)
    rng = np.random.default_rng(1)
    for array in net.params.values():
        array += 0.1 * rng.standard_normal(array.shape).astype(np.float32)
    return net


def every_layer():
    """One of each layer, with uncommon options; even the classifier behind it."""
    rng, net = np.random.default_rng(0), Network((2, 13, 17, 3))
    net.add("conv", layers.Conv2d(3, 8, (3, 2), (2, 1), (1, 2), 2, rng=rng))
    net.add("relu", layers.ReLU())
    net.add("norm", layers.LocalResponseNorm(3, alpha=0.5))
    net.add("max", layers.MaxPool2d(3, stride=2, padding=1, ceil_mode=True))
    net.add("up", layers.ConvTranspose2d(8, 4, (3, 4), 2, 1, 1, groups=2, rng=rng))
    net.add("cut", layers.Crop((0, 1)), "up", "max")
    net.add("mean", layers.AvgPool2d(3, stride=1, padding=1), "cut")
    net.add("sum", layers.Add(), "cut", "mean")
    net.add("tanh", layers.Tanh())
    net.add("sigmoid", layers.Sigmoid(), "sum")
    net.add("both", layers.Concat(), "tanh", "sigmoid")
    net.add("drop", layers.Dropout(0.5))
    net.add("shares", layers.Softmax())
    net.add("flat", layers.Flatten())
    net.add("fc", layers.Linear(int(np.prod(net.shapes(net.image_shape)["shares"][1:])), 5, rng=rng))
    return net


def every_map_layer():
    """What later models add: normalisation, unpooling, upsampling, bins, resizing, mirrored borders, dropout."""
    rng, net = np.random.default_rng(0), Network((2, 13, 18, 3))
    net.add("pad", layers.Pad2d((1, 2), mode="reflect"))
    net.add("conv", layers.Conv2d(3, 8, 3, rng=rng))
    net.add("bn", layers.BatchNorm2d(8, eps=1e-3))
    net.add("relu", layers.ReLU())
    net.add("pool", layers.MaxPool2d(2, ceil_mode=True))
    net.add("norm", layers.BatchNorm2d(8, batch_statistics=True))
    net.add("drop", layers.Dropout(0.5))
    net.add("unpool", layers.MaxUnpool2d(2, ceil_mode=True), "drop", "relu")
    net.add("bins", layers.AdaptiveAvgPool2d((3, 4)), "unpool")
    net.add("bilinear", layers.Upsample2d((5, 6), mode="bilinear"))
    net.add("cut", layers.Crop((1, 2)), "bilinear", "image")
    net.add("resized", layers.ResizeLike(), "bins", "image")
    net.add("nearest", layers.Upsample2d(2), "pool")
    net.add("cropped", layers.Crop(0), "nearest", "image")
    net.add("zeros", layers.Pad2d((0, 1)), "cropped")
    net.add("back", layers.Crop((0, 1)), "zeros", "image")
    net.add("whole", layers.Crop((0, 1)), "unpool", "image")
    net.add("all", layers.Concat(), "cut", "back", "whole", "resized")
    net.add("score", layers.Conv2d(32, 21, 1, rng=rng))
    for array in net.arrays.values():
        if array.ndim == 1:
            array[...] = rng.uniform(0.5, 1.5, array.shape)
    return net


# ---------------------------------------------------------------- timing


def test_contestants_take_turns_and_each_begins_once():
    calls = []
    times = contest(
        {name: lambda name=name: calls.append(name) for name in "abc"}, TINY._replace(rounds=3, least=3)
    )
    order = "".join(name for k, name in enumerate(calls) if k == 0 or calls[k - 1] != name)
    assert order == "abcbcacab"
    assert all(0 < timing.low <= timing.median <= timing.high for timing in times.values())
    assert sum(timing.calls for timing in times.values()) <= len(calls)


def test_summary_is_median_and_quartiles():
    assert summary([5.0, 1.0, 3.0, 2.0, 4.0]) == (3.0, 2.0, 4.0, 5)


def test_ceilings_are_positive():
    assert machine.fma_peak(1, steps=1000, repeats=2) > 0
    assert machine.copy_bandwidth(1, size=1 << 20, repeats=2) > 0
    assert machine.description()["processors"] >= 1


# ---------------------------------------------------------------- equality and work


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"scores": np.ones(3)}, None),
        ({"scores": np.array([1, 1, 1.001])}, "scores differs by 1.0e-03"),
        ({"scores": np.array([1, 1, np.nan])}, "scores differs by nan"),
        ({"scores": np.ones(4)}, "shape"),
        ({"gradient of w": np.array([1.0, 2.0019])}, None),
        ({"gradient of w": np.array([1.0, 2.01])}, "gradient of w differs by 5.0e-03"),
        ({"own gradient of w": np.array([1.0, 2.01])}, None),
        ({"own gradient of w": np.array([1.0, 2.5])}, "own gradient of w differs"),
        ({}, "computes"),
        ({"something else": np.ones(3)}, "computes"),
    ],
)
def test_unequal_results_are_refused(found, message):
    w = np.array([1.0, 2.0])
    expected = {"scores": np.ones(3), "gradient of w": w, "own gradient of w": w}
    if message is None:
        check_equal("x", found, expected)
    else:
        with pytest.raises(UnequalError, match=f"x.*{message}"):
            check_equal("x", found, expected)


@pytest.mark.parametrize("start", ["gradient of ", "own gradient of "])
def test_rounding_in_place_of_a_gradient_of_0_is_no_difference(start):
    expected = {f"{start}w": np.array([1.0, -2.0]), f"{start}bias": np.array([1e-8])}
    check_equal("x", expected | {f"{start}bias": np.array([-1e-8])}, expected)
    with pytest.raises(UnequalError, match=f"{start}bias differs"):
        check_equal("x", expected | {f"{start}bias": np.array([2e-3])}, expected)


def test_work_of_training_is_three_times_inference_but_for_the_image():
    net, shape = small_net(), (2, 32, 48, 3)
    forward, step = network_work(net, shape), network_work(net, shape, backward=True)
    first = 2 * 32 * 48 * net.params["conv1_1.weight"].size
    assert forward.multiply_adds == surgery.multiply_adds(net, shape)
    assert step.multiply_adds == 3 * forward.multiply_adds - first
    assert step.bytes == 3 * forward.bytes


def test_rows_have_names_of_their_own():
    names = [row.name for row in catalogue.all_rows()]
    assert len(names) == len(set(names)) > 50
    assert NUMPY_ML in names
    assert len(set(shapes(2048**2))) == len(shapes(2048**2)) == 13


# ---------------------------------------------------------------- rows and twins


def tiny_rows():
    conv = LayerRow("conv", lambda: layers.Conv2d(3, 8, 3, padding=1, rng=0), (2, 6, 5, 3), True)
    upsample = LayerRow("upsample", lambda: catalogue.bilinear(2), (1, 4, 3, 21), True)
    return [
        conv,
        LayerRow("conv f", conv.make, conv.input_shape, False),
        upsample,
        LossRow("loss", (1, 40, 35)),
        OptimizerRow("SGD", small_net),
        NetworkRow("train", small_net, (2, 33, 40, 3), True, must=2.0, aim=3.0),
        NetworkRow("inference", small_net, (2, 33, 40, 3), False, must=1e-9, aim=2e-9),
    ]


@pytest.mark.oracle
def test_rows_are_measured_and_reported():
    pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    records = [measure.measured(row, (OURS, "torch"), TINY) for row in tiny_rows()]
    assert all(len(record["times"]) >= 3 and not record["failures"] for record in records)
    records.append({"name": "broken", "must": 1.5, "aim": 2.0, "error": "UnequalError: no"})
    records[0]["alone"] = records[0]["times"]
    records[-2]["memory"] = {"ours": 3 << 20}
    json.dumps(records)
    table = report.main_table(records, MACHINE).splitlines()
    assert len({line.count("|") for line in table}) == 1 and len(table) == len(records) + 2
    points = [
        {"batch": 1, "size": size, "train": True, "threads": 2, "ours": 10.0, "torch": 20.0}
        for size in (512, 2048)
    ]
    text = report.document({"machine": MACHINE, "rows": records, "scaling": points, "history": None})
    for expected in ("**FAILED**: UnequalError: no", "ours 3", "10, 20 (2.00)", "broken (0.00 of 1.5)",
                     "16 times the pixels of 1x512x512 and takes 16.0 times as long"):  # fmt: skip
        assert expected in text


@pytest.mark.oracle
@pytest.mark.parametrize("layout", ["channels_last", "NCHW"])
@pytest.mark.parametrize("make", [small_net, every_layer, every_map_layer])
def test_a_network_and_its_torch_twin_compute_the_same(make, layout):
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    from benchmarks.versus_torch import torch_twin

    net = make()
    images = np.random.default_rng(2).standard_normal(net.image_shape, np.float32)
    with torch.inference_mode():
        found = torch_twin.Twin(net, layout).eval()(torch_twin.images_to_torch(images, layout))
    np.testing.assert_allclose(torch_twin.images_from_torch(found), net(images), rtol=1e-4, atol=1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize("train", [True, False])
def test_rows_of_later_models_are_measured(train):
    pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    row = NetworkRow("later", every_map_layer, (2, 13, 18, 3), train, onnx=False)
    assert len(measure.measured(row, (OURS, "torch"), TINY)["times"]) == (5 if train else 3)
    assert every_map_layer().nodes["drop"].layer.p == 0.5


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize(
    "row", [*catalogue.model_rows(), *catalogue.unet_rows()[::2]], ids=lambda row: row.name
)
def test_every_model_and_its_torch_twin_compute_the_same(row):
    """Outputs, or loss and gradients. On few pixels SegNet's statistics and maxima would hang on roundings."""
    pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    row = dataclasses.replace(row, image_shape=(8, 64, 64, 3))
    ours, theirs = [contestant for contestant in row.contestants() if contestant.side in (OURS, "torch")][:2]
    assert len(measure.made_ready([ours, theirs], {})) == 2


def test_every_model_has_rows():
    names = [row.name for row in catalogue.network_rows() + catalogue.unet_rows() + catalogue.model_rows()]
    for model in models.MODELS:
        shown = {"fcn8s": "", "unet": "U-Net "}.get(model, f"{model} ")
        assert {f"{shown}train 8x64x64", f"{shown}inference 8x64x64"} <= set(names)


@pytest.mark.oracle
def test_an_unpooling_without_its_pooling_has_no_twin():
    pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    from benchmarks.versus_torch import torch_twin

    net = Network()
    net.add("pool", layers.MaxPool2d(2, ceil_mode=True))
    net.add("unpool", layers.MaxUnpool2d(2), "pool", "image")
    with pytest.raises(NotImplementedError, match="unpool has no pooling of its own"):
        torch_twin.Twin(net, "NCHW")


@pytest.mark.oracle
def test_a_wrong_gradient_fails_the_row():
    pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")

    class Wrong(layers.Conv2d):
        def backward(self, *args, **options):
            dx, grads = super().backward(*args, **options)
            return dx, grads | {"weight": 1.01 * grads["weight"]}

    def make():
        net = small_net()
        node = net.nodes["conv3_1"]
        node.layer.__class__ = Wrong
        return net

    with pytest.raises(UnequalError, match=r"gradient of conv3_1\.weight differs by"):
        measure.measured(NetworkRow("train", make, (1, 40, 40, 3), True), (OURS, "torch"), TINY)


def test_a_network_and_its_onnx_twin_compute_the_same():
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    tiny_unet = NetworkRow(
        "inference", lambda: models.unet(21, widths=(2, 3, 4), rng=0), (1, 13, 18, 3), False
    )
    for row in [*tiny_rows(), tiny_unet]:
        if row.name == "inference":
            assert set(measure.measured(row, (OURS, "onnxruntime"), TINY)["times"]) == {OURS, "onnxruntime"}


@pytest.mark.skipif(importlib.util.find_spec("numpy_ml") is None, reason="numpy-ml is not installed")
def test_numpy_ml_computes_the_same_convolution():
    row = LayerRow(NUMPY_ML, lambda: layers.Conv2d(2, 3, 3, padding=1, rng=0), (2, 5, 6, 2), True)
    assert "numpy-ml" in measure.measured(row, (OURS, "numpy-ml"), TINY)["times"]


# ---------------------------------------------------------------- history


@pytest.mark.parametrize("era", history.ERAS)
@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2d(3, 4, 3, padding=1, rng=0),
        layers.Conv2d(3, 4, (2, 3), (2, 1), (0, 2), (1, 2), bias=False, rng=0),
        layers.ConvTranspose2d(3, 2, 4, 2, 1, bias=False, rng=0),
        layers.ConvTranspose2d(3, 2, 3, (2, 1), 1, (1, 0), rng=0),
    ],
    ids=repr,
)
def test_the_past_computed_the_same(era, layer):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 6, 7, 3)).astype(np.float32)
    old = history.Historic(layer, history.ERAS[era])
    y, cache = layer.forward(x)
    old_y, old_cache = old.forward(x)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dx, grads = layer.backward(dy, cache)
    old_dx, old_grads = old.backward(dy, old_cache)
    assert old_grads.keys() == grads.keys()
    for found, expected in [(old_y, y), (old_dx, dx), *((old_grads[key], grads[key]) for key in grads)]:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_step_of_the_past_is_measured():
    row = history.HistoryRow("history", small_net, (1, 40, 33, 3), True)
    record = measure.measured(row, (OURS, "history"), TINY)
    assert list(record["times"]) == [OURS, *(f"history {era}" for era in history.ERAS)]


# ---------------------------------------------------------------- processes


def test_times_come_from_a_process_of_its_own():
    name = "upsample 8x2 x2 dense f"
    ((row, times),) = alone.times(OURS, [name], 1, TINY)
    assert row == name and times[OURS]["median"] > 0


@pytest.mark.oracle
def test_the_command_writes_its_tables(tmp_path):
    pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    command = [sys.executable, "-m", "benchmarks.versus_torch", "--quick", "--only", "upsample 8x2 x2 dense"]
    command += ["--json", str(tmp_path / "all.json"), "--markdown", str(tmp_path / "tables.md")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result = json.loads((tmp_path / "all.json").read_text())
    assert [record["name"] for record in result["rows"]] == [
        f"upsample 8x2 x2 dense {kind}" for kind in ("f", "f+b")
    ]
    assert result["rows"][0]["summary"]["ratio"] > 0
    assert (tmp_path / "tables.md").read_text() in printed
    assert printed.rstrip().endswith("tables.md")
