"""The same scan by several processes: each takes its share of the images, and all get the whole answer.

Type: as `top.scan`, called in every process. `torchrun --nproc_per_node 2 -m cnnlab top …` starts them. A
ranking is merged exactly, so the answer is that of one process. Only numbers are sent, nothing is unpickled.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from cnnlab.methods import top
from cnnlab.methods.top.ranking import Top


@contextmanager
def processes() -> Iterator[int]:
    """Inside the block the processes that torchrun started can talk (by gloo, on the CPU).

    Yields:
        The number of this process, from 0; without torchrun 0, and there is nobody to talk to.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or distributed.is_initialized():
        yield distributed.get_rank() if distributed.is_initialized() else 0
        return
    # One share may take hours longer than another; that a process died is noticed by torchrun.
    distributed.init_process_group("gloo", timeout=timedelta(days=1))
    try:
        yield distributed.get_rank()
    finally:
        distributed.destroy_process_group()


def scan(model: nn.Module, images: Tensor | Sequence | str | Path, layer: str, **options) -> Top:
    """`top.scan`, shared among all processes of the group; without a group just that.

    Args:
        model, images, layer, **options: as in `top.scan` but for `shard`, the same in every process. A kept
            scan goes on with the same number of processes only; `progress` counts the images of this one.

    Returns:
        The whole ranking, the same in every process.

    Raises:
        ChildProcessError: another process failed; its own message says why.
        LookupError, TypeError, ValueError: as `top.scan`.
    """
    rank, all_of_them = 0, 1
    if distributed.is_available() and distributed.is_initialized():
        rank, all_of_them = distributed.get_rank(), distributed.get_world_size()
    mine, error = None, None
    try:
        mine = top.scan(model, images, layer, shard=(rank, all_of_them), **options)
    except Exception as caught:  # the others wait: they must hear of it, or they would wait for ever
        error = caught
    if all_of_them == 1:
        if error is not None:
            raise error
        return mine
    fine = _gather(torch.tensor([error is None], dtype=torch.int64), all_of_them)
    if error is not None:
        raise error
    if failed := [number for number, good in enumerate(fine) if not good]:
        raise ChildProcessError(f"process {failed[0]} of {all_of_them} failed; its own message says why")
    positions = _gather(
        torch.stack([mine.image_index, mine.row, mine.col]).cpu(), all_of_them
    )  # (3, C, k) each
    values = _gather(mine.values.double().cpu(), all_of_them)  # exact, from any type up to float64
    seen = _gather(torch.tensor([mine.seen]), all_of_them)
    whole = None
    for value, position, count in zip(values, positions, seen, strict=True):
        part = Top(value.to(mine.values.dtype), *position, layer, int(count), mine.per_image)
        whole = part if whole is None else whole.merge(part)
    return whole


def _gather(mine: Tensor, n: int) -> list[Tensor]:
    """The tensor of this name in every process, in their order."""
    all_of_them = [torch.empty_like(mine) for _ in range(n)]
    distributed.all_gather(all_of_them, mine.contiguous())
    return all_of_them
