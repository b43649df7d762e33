"""A block in which a model is asked something, and nothing of the caller's is disturbed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cnnlab.probing.at_rest import at_rest
from cnnlab.probing.units import unique_modules


@contextmanager
def preserved(model: nn.Module, *, grad: bool) -> Iterator[None]:
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
        with torch.random.fork_rng(devices=[]), eval_mode(model), _buffers_back(model):
            yield


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside the block: no dropout, batch norm by running statistics. Then each module's own."""
    modes = [(module, module.training) for module in unique_modules(model)]
    try:
        if any(training for _, training in modes):  # to set an attribute of a module is slow
            model.eval()
        yield
    finally:
        for module, training in modes:
            if module.training is not training:
                module.training = training


@contextmanager
def frozen(model: nn.Module, *, channels_last: bool = True) -> Iterator[None]:
    """`preserved`, and made ready for many passes whose gradient is wanted for the image only.

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
        for part in unique_modules(model)
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)
        and isinstance(weight := part._parameters.get("weight"), nn.Parameter)
        and not weight.is_inference()
    }
    with preserved(model, grad=True):  # outside: no tensor may be born in the caller's inference mode
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
    homes = [(part._buffers, list(part._buffers.items())) for part in unique_modules(model) if part._buffers]
    plain: dict[tuple, list[Tensor]] = {}
    others: list[tuple[Tensor, int, Tensor]] = []  # sparse, quantised
    for _, named in homes:
        for _, buffer in named:
            if not isinstance(buffer, Tensor) or buffer.is_inference():  # one of those cannot change here
                continue
            if buffer.layout == torch.strided and not buffer.is_quantized:
                plain.setdefault((buffer.dtype, buffer.device), []).append(buffer)
            else:
                others.append((buffer, buffer._version, buffer.detach().clone()))
    # All of a kind in one piece: one by one takes a tenth of a pass of a small network. By their numbers, for
    # batch norm in training changes its means without a word to the counter of versions.
    before = [(buffers, _numbers(buffers)) for buffers in plain.values()]
    try:
        yield
    finally:
        for home, named in homes:
            for name, buffer in named:
                if home.get(name) is not buffer:  # self.k = self.k + 1
                    home[name] = buffer
        with torch.no_grad():
            for buffers, numbers in before:
                if not torch.equal(_numbers(buffers), numbers):
                    _put_back(buffers, numbers)
            for buffer, version, value in others:
                if buffer._version != version:
                    buffer.copy_(value)


def _numbers(buffers: list[Tensor]) -> Tensor:
    return torch.cat([buffer.detach().flatten() for buffer in buffers])


def _put_back(buffers: list[Tensor], numbers: Tensor) -> None:
    """Only where they have changed: torch counts writes, and a way back of the caller's may mind them."""
    parts = numbers.split([buffer.numel() for buffer in buffers])
    for buffer, part in zip(buffers, parts, strict=True):
        if not torch.equal(buffer.flatten(), part):
            buffer.copy_(part.view(buffer.shape))
