"""Is a gradient written by hand right? Numbers that do not know the formula decide."""

from minifcn.check.gradients import GradientError, check_adjoint, check_gradients, check_layer, check_loss

__all__ = ["GradientError", "check_adjoint", "check_gradients", "check_layer", "check_loss"]
