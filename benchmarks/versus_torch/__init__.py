"""python -m benchmarks.versus_torch: how fast minifcn is beside PyTorch, onnxruntime and numpy-ml.

Same networks, weights and data on all sides, and results that are checked to be equal before anything is timed.

    __main__.py      the command: which rows, what is printed, what is written
    catalogue.py     the rows of the first table, and what is asked of them
    timing.py        blocks of calls in turn, medians and quartiles
    machine.py       the machine, and its ceilings: FMA peak and copy bandwidth
    rows.py          what a row is: contestants, their results, their work; and how it is measured
    networks.py      kinds of rows: training steps and inference of whole networks
    layers.py        kinds of rows: single layers, the loss, the optimiser
    torch_twin.py    a Network as a PyTorch module
    onnx_twin.py     a Network as an ONNX graph, for onnxruntime
    numpy_ml_twin.py a convolution as a layer of numpy-ml
    alone.py         a contestant in a process of its own: time, and peak memory
    scaling.py       the second table: time per pixel over sizes, batches and threads
    history.py       the third table: the same step as it was once written here
    report.py        the tables in Markdown

It needs `pip install -e ".[bench]"`.
"""

import os

ENVIRONMENT = dict(
    os.environ
)  # as the user set it: minifcn changes it for its own threads, see kernels/jit.py
