"""A scan that was interrupted goes on where it stopped: the ranking so far, kept under a key.

Type: (model, layer, images, …) -> key; (key, ranking) -> file. The key is a hash of everything on which
the answer depends: weights, architecture, the code of the forward pass, layer, options, images.
"""

import hashlib
import time
import warnings
from pathlib import Path
from types import CodeType, FunctionType

import torch
from torch import Tensor, nn

from cnnlab.methods.top.ranking import Top

_EVERY = 2.0  # seconds from one writing to the next
_PLAIN = (bool, int, float, str, type(None))


class Cache:
    """The file of one scan. What cannot be read is scanned anew, what cannot be written is not kept.

    Args:
        folder: where the files of all scans lie; None: nothing is read or kept.
        key: of this scan.
        total: images of the whole scan.
    """

    def __init__(self, folder: str | Path | None, key: str, total: int):
        self.path = None if folder is None else Path(folder) / f"top-{key[:32]}.safetensors"
        self.about, self.total = {"key": key, "total": str(total)}, total
        self._kept, self._when = 0, time.monotonic()

    def read(self) -> Top | None:
        """The ranking so far, or None."""
        if self.path is None:
            return None
        try:
            found = Top.read(self.path, self.about)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            warnings.warn(f"the kept scan cannot be used, so it starts anew: {error}", stacklevel=3)
            return None
        self._kept = found.seen
        return found

    def keep(self, found: Top | None, *, now: bool = False) -> None:
        """Write the ranking, if the last writing is long ago, or it is finished, or `now`."""
        if self.path is None or found is None or found.seen == self._kept:
            return
        if not now and found.seen < self.total and time.monotonic() - self._when < _EVERY:
            return
        try:
            found.write(self.path, self.about)
        except OSError as error:
            self.path = None  # said once
            warnings.warn(f"the scan goes on, but cannot be kept for later: {error}", stacklevel=3)
        self._kept, self._when = found.seen, time.monotonic()


def key(model: nn.Module, *options: object) -> str:
    """A hash of a model, as it is in eval mode, and of options that print as what they are.

    Raises:
        ValueError: the model has hooks: what they do cannot be known.
    """
    digest = hashlib.sha256(repr((torch.__version__, options)).encode())
    for name, module in model.named_modules(remove_duplicate=False):  # a layer may stand at two positions
        if module._forward_hooks or module._forward_pre_hooks:
            raise ValueError(
                f"{repr(name) if name else 'the model'} has hooks (an edit, a relu_rule, pruning), so a kept "
                "scan could not be told from one without them. Leave out the cache, or the hooks"
            )
        digest.update(f"\n{name} {type(module).__module__}.{type(module).__qualname__}".encode())
        for attribute, value in sorted(vars(module).items()):
            if attribute != "training" and _plain(value):
                digest.update(f" {attribute}={value!r}".encode())
            elif isinstance(value, FunctionType):
                digest.update(_code(value.__code__))
        for kind in type(module).__mro__:
            if not kind.__module__.startswith("torch.") and kind is not object:
                for attribute, value in sorted(vars(kind).items()):
                    if isinstance(value, FunctionType):
                        digest.update(attribute.encode() + _code(value.__code__))
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(_plain(part) for part in value)
    return isinstance(value, _PLAIN)


def _code(code: CodeType) -> bytes:
    """What a function does, without the position where it is written."""
    parts = [code.co_code, repr((code.co_names, code.co_varnames)).encode()]
    for value in code.co_consts:
        parts.append(_code(value) if isinstance(value, CodeType) else repr(value).encode())
    return b"\0".join(parts)


def _bytes(tensor: Tensor):
    return tensor.detach().contiguous().view(-1).view(torch.uint8).cpu().numpy()
