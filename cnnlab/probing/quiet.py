"""A block in which a model is asked something, and nothing of the caller's is disturbed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cnnlab.probing.hooks import evaluating


@contextmanager
def undisturbed(model: nn.Module, *, grad: bool) -> Iterator[None]:
    """Eval mode, gradients on or off whatever the caller has, and random numbers that stay inside.

    Args:
        model: its own mode, and the buffers that a pass has changed, come back after the block.
        grad: is a graph needed? Then also where the caller is in inference mode.

    Raises:
        TypeError: no nn.Module, such as a function.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"a model (torch.nn.Module) comes first, not {type(model).__name__}")
    with torch.inference_mode(False), torch.set_grad_enabled(grad):
        with torch.random.fork_rng(devices=[]), evaluating(model), _buffers_back(model):
            yield


@contextmanager
def _buffers_back(model: nn.Module) -> Iterator[None]:
    """Counters and running means that move in eval mode, too: after the block they are as before."""
    # One made in inference mode cannot change here.
    there = [
        (module._buffers, name, buffer, buffer._version, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if isinstance(buffer, Tensor) and not buffer.is_inference()
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for home, name, buffer, version, value in there:
                if home.get(name) is not buffer:  # self.k = self.k + 1
                    home[name] = buffer
                if buffer._version != version:  # self.k += 1
                    buffer.copy_(value)
