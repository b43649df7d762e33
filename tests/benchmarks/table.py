"""Every "must show" of speed in one table: ours beside the peer at its best setting, with what was asked.

Run `python tests/benchmarks/table.py [--quick] [name …]`; names are those of the benchmarks beside this file.
Whole it takes about a quarter of an hour on two quiet cores, most of it captum's occlusion; with --quick,
small networks and few rounds, about three minutes. Two threads; times are medians of ways that ran in turns.
A ratio is ours / theirs: below 1 we are faster. A row that does not keep what was asked is marked, and the
exit code is 1. A peer that does not import is left out. Each benchmark says more when it is run by itself.
"""

import argparse
import importlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import torch
from side_by_side import Row, in_turns, medians

from cnnlab.data import digits, photos

ALL = (
    "slider_redraw",
    "slider_browser",
    "top_scan",
    "deconvnet",
    "occlusion",
    "saliency",
    "dream",
    "adversarial",
)


def line(row: Row) -> str:
    asked = "" if row.asked is None else f"at most {row.asked:.2f}"
    mark = "" if row.kept else "  \u2717 not kept"
    unit, name = (1000, "ms") if max(row.ours, row.theirs) < 10 else (1, "s")
    times = f"{unit * row.ours:8.1f} {name:2} {row.peer:>24} {unit * row.theirs:8.1f} {name:2}"
    return f"{row.what:44} {times} {row.ratio:6.2f}  {asked:13}{mark}".rstrip()


def attacks(module: ModuleType, quick: bool) -> Iterator[Row]:
    """The rows of lecture 10's benchmark: FGSM and PGD against the raw passes and the peers."""
    for name, size, count, eps in module.NETS[:1] if quick else module.NETS:
        grey = name == "simpleconvnet"
        x = digits.load("test").images[:count] if grey else photos.crops(size=size, n=count).images
        for attack, who in module.ways(module.Raw(module.network(name), x, eps)).items():
            told = medians(in_turns(who, 3 if quick else 5))
            what = f"{attack} of {name}, {count} x {size} px"
            yield Row(what, told["ours"], "raw passes", told["passes"], 1.15)
            for peer in told.keys() & {"torchattacks", "foolbox"}:
                yield Row(what, told["ours"], peer, told[peer])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(ALL))
    parser.add_argument("--quick", action="store_true", help="small networks, few rounds")
    given = parser.parse_args()
    if wrong := set(given.names) - set(ALL):
        parser.error(f"no benchmark {', '.join(sorted(wrong))}. There are: {', '.join(ALL)}")
    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    print(f"{'what':44} {'ours':>11} {'peer':>24} {'its':>11} {'ratio':>6}  asked", flush=True)
    kept = True
    for name in given.names or ALL:
        if not (Path(__file__).parent / f"{name}.py").is_file():
            print(f"{name}: to come")
            continue
        module = importlib.import_module(name)
        for row in attacks(module, given.quick) if name == "adversarial" else module.rows(given.quick):
            print(line(row), flush=True)
            kept = kept and row.kept
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
