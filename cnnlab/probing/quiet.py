"""A block in which a model is asked something, and nothing of the caller's is disturbed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from cnnlab.probing.hooks import evaluating


@contextmanager
def undisturbed(model: nn.Module, *, grad: bool) -> Iterator[None]:
    """Eval mode, gradients on or off whatever the caller has, and random numbers that stay inside.

    Args:
        model: its own mode comes back after the block.
        grad: is a graph needed? Then also where the caller is in inference mode.
    """
    with torch.inference_mode(False), torch.set_grad_enabled(grad):
        with torch.random.fork_rng(devices=[]), evaluating(model):
            yield
