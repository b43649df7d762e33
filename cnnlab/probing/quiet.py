"""A block in which a model is asked something, and nothing of the caller's is disturbed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cnnlab.probing.at_rest import at_rest
from cnnlab.probing.units import each_part


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
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode inside the block: no dropout, batch norm by running statistics. Then each module's own."""
    modes = [(module, module.training) for module in each_part(model)]
    try:
        if any(training for _, training in modes):  # to set an attribute of a module is slow
            model.eval()
        yield
    finally:
        for module, training in modes:
            if module.training is not training:
                module.training = training


@contextmanager
def settled(model: nn.Module, *, channels_last: bool = True) -> Iterator[None]:
    """`undisturbed`, and made ready for many passes whose gradient is wanted for the picture only.

    No weight asks for a gradient inside the block, so none is computed; batch norm is `at_rest`; and the
    filters lie in memory as fast convolutions read them, not to be laid out anew in each pass. Afterwards
    every weight is the one it was: the same tensor in the same memory, which still asks for a gradient if it
    did.

    Args:
        model: any network.
        channels_last: lay out the filters? The numbers stay the same; sums are rounded in another order.

    Raises:
        ValueError: the weights were made in inference mode.
    """
    if any(weight.is_inference() for weight in model.parameters()):
        raise ValueError(
            "weights that were made in torch.inference_mode() allow no gradient: make the model outside of it"
        )
    asking = [weight for weight in model.parameters() if weight.requires_grad]
    filters = {
        id(weight): weight
        for part in each_part(model)
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)
        and isinstance(weight := part._parameters.get("weight"), nn.Parameter)
        and not weight.is_inference()
    }
    with undisturbed(model, grad=True):  # outside: no tensor may be born in the caller's inference mode
        own = [(weight, weight.data) for weight in filters.values()] if channels_last else []
        try:
            for weight in asking:
                weight.requires_grad_(False)
            for weight, data in own:
                weight.data = data.contiguous(memory_format=torch.channels_last)
            with at_rest(model):
                yield
        finally:
            for weight, data in own:
                weight.data = data
            for weight in asking:
                weight.requires_grad_(True)


@contextmanager
def _buffers_back(model: nn.Module) -> Iterator[None]:
    """Counters and running means that move in eval mode, too: after the block they are as before."""
    homes = [(part._buffers, list(part._buffers.items())) for part in each_part(model) if part._buffers]
    kinds: dict[tuple, list[Tensor]] = {}
    for _, named in homes:
        for _, buffer in named:
            if isinstance(buffer, Tensor) and not buffer.is_inference():  # one of those cannot change here
                alone = None if buffer.layout == torch.strided else id(buffer)
                kinds.setdefault((buffer.dtype, buffer.device, alone), []).append(buffer)
    # All of a kind in one piece: one by one takes a tenth of a pass of a small network.
    before = [(buffers, _values(buffers), [b._version for b in buffers]) for buffers in kinds.values()]
    try:
        yield
    finally:
        for home, named in homes:
            for name, buffer in named:
                if home.get(name) is not buffer:  # self.k = self.k + 1
                    home[name] = buffer
        for buffers, values, versions in before:
            moved = [buffer._version for buffer in buffers] != versions
            # Batch norm in training changes its means without a word to the counter of versions.
            if moved or values.is_floating_point() and not torch.equal(_values(buffers), values):
                _put_back(buffers, values)


@torch.no_grad()
def _values(buffers: list[Tensor]) -> Tensor:
    """Those of all of them, in a row; of a sparse one all numbers there are."""
    return torch.cat([buffer.to_dense().flatten() for buffer in buffers])


@torch.no_grad()
def _put_back(buffers: list[Tensor], values: Tensor) -> None:
    sizes = [buffer.numel() for buffer in buffers]
    for buffer, value in zip(buffers, values.split(sizes), strict=True):
        if not torch.equal(buffer.to_dense().flatten(), value):
            dense = value.view(buffer.shape)
            buffer.copy_(dense if buffer.layout == torch.strided else dense.to_sparse(layout=buffer.layout))
