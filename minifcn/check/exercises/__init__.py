"""The exercises, a file for each lesson. `minifcn.check` finds them by name and imports only the file it needs."""

LESSONS = {
    "pixels": ("one_hot", "confusion", "mean_iou", "pixel_accuracy"),
    "convolution": ("output_size", "conv2d", "im2col", "conv_matrix"),
    "backward": (
        "conv2d_bias_backward",
        "conv2d_weight_backward",
        "conv2d_input_backward",
        "conv2d_backward",
        "numerical_gradient",
    ),
    "pooling": (
        "relu_backward",
        "max_pool2d",
        "max_pool2d_backward",
        "avg_pool2d_backward",
        "receptive_field",
    ),
    "classifier": (
        "linear_backward",
        "softmax",
        "cross_entropy",
        "global_avg_pool_backward",
        "class_activation_map",
    ),
    "dense": ("to_conv", "from_chw", "heat_map_size", "interlace"),
    "upsampling": ("bilinear_kernel", "conv_transpose2d", "conv_transpose2d_backward", "coverage"),
    "skips": ("crop", "crop_offset", "crop_backward", "network_backward", "dice"),
}
OWN_FILE = {"output_size": "sizes", "conv_matrix": "large_matrix"}  # the others are in that of their lesson
MODULE_OF = {name: module for module, names in LESSONS.items() for name in names} | OWN_FILE
