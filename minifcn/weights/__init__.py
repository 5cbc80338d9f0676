"""Weights that others trained, put into a Network by name; and ours, written for others.

    net = fcn8s(classes=21, backbone="vgg16")
    source = weights.load(net, "vgg16-397923af.pth")     # PyTorch, safetensors, Caffe or .npz
    weights.save(net, "fcn8s.safetensors")               # PyTorch loads it

One file a format (torch_file, safetensors_file, caffe_file, npz_file), each a reader that runs nothing of what it
reads; names.py says which tensor is which parameter, layouts.py how its axes turn, loading.py does it.
"""

from minifcn.weights.loading import Source, load, save

__all__ = ["Source", "load", "save"]
