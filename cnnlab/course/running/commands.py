"""What `python -m cnnlab` can do, one function for each command. Each returns the exit code."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cnnlab import atomic_files
from cnnlab.course import syllabus
from cnnlab.course.presenting.jupyter_server import SETTINGS, limits
from cnnlab.course.syllabus import root
from cnnlab.errors import unknown


def open_course(extra: list[str]) -> int:
    """Start JupyterLab with lecture 00; `extra` goes to JupyterLab, as --no-browser."""
    # As the first page, not as a file to open: the addresses that JupyterLab prints then lead to it, too.
    first = ["notebooks", "--LabApp.default_url=/lab/tree/00_start_here.ipynb"]
    # In a container one often is root, and there JupyterLab starts only if it is told that this is meant.
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return _become([sys.executable, "-m", "jupyterlab", *first, *as_root, *settings(), *extra], root())


def _become(command: list[str], folder: Path) -> int:
    """Run a program in this process's place, so that whatever ends the one ends the other."""
    if os.name != "posix":  # Windows has no such thing: wait for it
        return subprocess.call(command, cwd=folder)
    os.chdir(folder)
    os.execv(command[0], command)


def settings() -> list[str]:
    """JupyterLab's options for the course: defaults only, so that a reader's own settings still count.

    No news pop-up over the lecture, and every cell stays in the page: a slider that scrolled away and came
    back shows its image at once. And room for the images that readers upload.
    """
    return [f"--LabApp.app_settings_dir={SETTINGS}", *limits()]


def doctor(
    full: list[str] | None = None,
    parameters: Sequence[tuple[str, str]] = (),
    answered: bool = False,
    keep: bool = False,
) -> int:
    """Print what runs here and what does not; `full` runs the lectures of these numbers, too, or all."""
    from cnnlab.course.running import doctor

    if full is None:
        if parameters or answered or keep:
            raise ValueError("-p, --answered and --keep belong to doctor --full, which runs the lectures")
        return doctor.main()
    from cnnlab.course.running import run_all

    known = _lectures()
    lectures = [_lecture(number) for number in full] or list(known.values())
    if answered:
        lectures = [_answered(syllabus.number(path.name)) for path in lectures]
    found = run_all.Rehearsal(lectures, root() / "runs" / "full", parameters, keep)  # may refuse: first
    return max(doctor.main(), found.main())


def build(numbers: list[str], check: bool, discard: bool = False) -> int:
    """Write the notebooks from their sources; or only say which are stale."""
    from cnnlab.course.authoring import build

    if check:
        stale = build.check_built(root())
        print("\n".join(f"stale: {name}" for name in stale) or "all notebooks are up to date")
        return int(bool(stale))
    written = [
        str(path.relative_to(root())) for path in build.build(root(), numbers or None, discard=discard)
    ]
    print("\n".join(written) or "nothing to write: all notebooks are up to date")
    return 0


def run(number: str, parameters: list[tuple[str, str]], output: str | None) -> int:
    """Run a lecture with other parameters; say where the result lies, and which cell failed."""
    from cnnlab.course.running import run_notebook

    lecture = _lecture(number)
    target = Path(output) if output is not None else root() / "runs" / lecture.name
    ran = run_notebook.run(lecture, target, run_notebook.values(lecture, parameters), bar=sys.stderr.isatty())
    for message in ran.failed:
        print(f"{lecture.name} failed: {message}", file=sys.stderr)
    print(f"{lecture.name}: {ran.seconds:.1f} s, {'what ran so far' if ran.failed else 'result'} in {target}")
    return int(bool(ran.failed))


def fetch(name: str) -> int:
    """Download a data set into the cache, both splits, or a network's weights into torch's; and check it."""
    from cnnlab.data.loading import downloads
    from cnnlab.nets import models, pretrained

    if name in pretrained.NAMES:
        print(f"{name}: {len(models.load(name).classes)} classes")
        return 0
    if name not in downloads.NAMES:
        raise unknown("data set or network", name, [*downloads.NAMES, *pretrained.NAMES], plural="known")

    for split in ("train", "test"):
        found = downloads.load(name, split)
        print(f"{name} {split}: {len(found.labels)} images, {len(found.classes)} classes")
    print(f"in {downloads.cache()}")
    return 0


def top(
    name: str, layer: str, folder: str, output: str, k: int, per_image: int, batch: int, cache: str | None
) -> int:
    """Find the images that excite each channel of a layer most; under torchrun, all processes together."""
    from cnnlab.data.loading import image_source
    from cnnlab.methods.top import distributed
    from cnnlab.nets import models

    def show(done: int, total: int) -> None:
        print(f"\r{done} of {total} images", end="" if done < total else "\n", file=sys.stderr, flush=True)

    if Path(output).is_dir():
        raise ValueError(f"--output is a file to write, but {output} is a folder")
    atomic_files.possible(Path(output))  # before the work
    model = models.load(name)
    images = image_source.Folder(folder, model.input_size[1], grey=model.input_size[0] == 1)
    with distributed.processes() as rank:
        found = distributed.scan(
            model,
            images,
            layer,
            k=k,
            per_image=per_image,
            batch=batch,
            progress=show if rank == 0 and sys.stderr.isatty() else None,
            cache=cache,
        )
        if rank == 0:
            found.write(output, {"net": name, "folder": folder, "names": json.dumps(images.names)})
            print(f"the {k} strongest of {found.seen} images for {len(found.values)} channels: {output}")
    return 0


def icons(name: str, output: str, steps: int, seed: int) -> int:
    """Draw what every channel of a network's ReLUs asks for, one sheet a layer."""
    import torch

    from cnnlab.data import photos
    from cnnlab.methods.dream import superstimuli
    from cnnlab.nets import icons, models
    from cnnlab.probing import representative_layers

    atomic_files.possible(Path(output) / "manifest.json")
    model = models.load(name)
    for layer in representative_layers(model, torch.zeros(1, *model.input_size)):

        def show(done: int, total: int, _images: object, _value: float, layer: str = layer) -> None:
            print(f"\r{layer}: {done} of {total}", end="", file=sys.stderr, flush=True)

        began = time.perf_counter()
        progress = show if sys.stderr.isatty() else None
        # In the size that the network was made for; an icon is smaller.
        drawn = superstimuli(model, layer, steps=steps, seed=seed, progress=progress)
        if drawn.stopped != "finished":
            raise KeyboardInterrupt
        about = {"steps": steps, "seed": seed, "never_moved": drawn.channels[~drawn.had_gradient].tolist()}
        small = photos.resize(drawn.images, icons.SIDE)
        path = icons.save(name, layer, small, about, Path(output))
        print(f"{layer}: {len(drawn.images)} icons in {time.perf_counter() - began:.0f} s, {path}")
    return 0


def train(name: str, output: str, seed: int, epochs: int | None, data: str | None) -> int:
    """Train a shipped network again, by its recipe."""
    from cnnlab.nets.training import recipes

    about = recipes.follow(name, Path(output), seed=seed, epochs=epochs, root=data)
    print(
        f"{about['test_accuracy']:.2%} of {about['test_pictures']} test images right, after "
        f"{about['epochs']} epochs and {about['seconds']} s"
    )
    for file in recipes.RECIPES[name].files(name):
        print(Path(output) / f"{file}.safetensors")
    return 0


def present(number: str, parameters: list[tuple[str, str]]) -> int:
    """Show a lecture as live slides, until Ctrl+C."""
    from cnnlab.course.presenting.present import present
    from cnnlab.course.running import run_notebook

    answered = _answered(number)
    return present(answered, root() / "runs" / "present", run_notebook.values(answered, parameters))


def handout(number: str, output: str | None, parameters: list[tuple[str, str]]) -> int:
    """Write a lecture's slides as one HTML file, and say where it lies."""
    from cnnlab.course.presenting.handout import handout
    from cnnlab.course.running import run_notebook

    answered = _answered(number)
    page = Path(output) if output else root() / "runs" / f"{answered.stem}.html"
    handout(answered, page, run_notebook.values(answered, parameters))
    print(f"{page}\nSpace goes on, n shows the notes; it needs no kernel and no network")
    return 0


def sweep(name: str, output: str | None) -> int:
    """Run one of the shipped sweeps again, and say where the rows lie."""
    from cnnlab.course.running.run_sweep import sweep

    print(sweep(name, Path(output) if output else root() / "runs" / f"{name}.csv"))
    return 0


def links() -> int:
    """Ask all addresses whether they are still there."""
    from cnnlab.course.authoring import links

    return links.main(root())


def binder() -> int:
    """Pin the versions that are installed here for Binder."""
    from cnnlab.course.authoring import binder

    path = root() / "binder" / "requirements.txt"
    atomic_files.write(path, binder.requirements(root()))
    print(path.relative_to(root()))
    return 0


def _answered(number: str) -> Path:
    path = root() / "solutions" / _lecture(number).name
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is not in solutions: python -m cnnlab build {number} makes it")
    return path


def _lecture(number: str) -> Path:
    there = _lectures()
    if number not in there:
        raise unknown("lecture", number, there)
    return there[number]


def _lectures() -> dict[str, Path]:
    """Number -> the student's notebook."""
    found = sorted((root() / "notebooks").glob(f"{syllabus.FILES}.ipynb"))
    return {syllabus.number(path.name): path for path in found}
