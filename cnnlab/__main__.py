"""`python -m cnnlab`: open the course, check the machine, build and run lectures, fetch data, train."""

import argparse
import sys


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do what it says.

    Returns:
        The exit code: 0 fine, 1 something failed, 2 a mistake on the command line or in a source, 130
        stopped.
    """
    parser = argparse.ArgumentParser(prog="python -m cnnlab", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser(
        "open", help="open the course in JupyterLab (the default); other options go to JupyterLab"
    )
    doctor = commands.add_parser("doctor", help="check this machine, row by row; with --full, every lecture")
    doctor.add_argument("--full", nargs="*", metavar="NN", help="run lectures, too; all if none is named")
    doctor.add_argument(
        "--answered", action="store_true", help="the answered notebooks, as `present` runs them"
    )
    doctor.add_argument("--keep", action="store_true", help="for authors: keep the figures for the README")
    _takes_parameters(doctor)
    build = commands.add_parser("build", help="write the notebooks from solutions/NN_name.py")
    build.add_argument("numbers", nargs="*", metavar="NN", help="lectures; all if left out")
    build.add_argument("--check", action="store_true", help="write nothing; say which are stale")
    build.add_argument("--discard", action="store_true", help="also over notebooks that a reader has changed")
    present = commands.add_parser("present", help="show a lecture as live slides")
    present.add_argument("number", metavar="NN")
    _takes_parameters(present)
    handout = commands.add_parser("handout", help="write a lecture's slides as one HTML file, with notes")
    handout.add_argument("number", metavar="NN")
    handout.add_argument("--output", help="file to write; runs/NN_name.html if left out")
    _takes_parameters(handout)
    run = commands.add_parser("run", help="run a lecture, with other parameters")
    run.add_argument("number", metavar="NN")
    _takes_parameters(run)
    run.add_argument("--output", help="where to write; runs/NN_name.ipynb if left out")
    fetch = commands.add_parser("fetch", help="download a data set or a network's weights, and check them")
    fetch.add_argument("name", help="mnist, cifar10, imagenette, tiny_imagenet, or alexnet and its like")
    train = commands.add_parser("train", help="train one of the shipped networks again")
    train.add_argument("name", help="as in cnnlab/nets/weights/README.md")
    train.add_argument("--output", default="runs", help="folder to write to; runs if left out")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--epochs", type=int, help="fewer or more than the recipe has")
    train.add_argument("--data", help="folder with MNIST or Tiny ImageNet; the cache if left out")
    top = commands.add_parser("top", help="find the images of a folder that excite each channel most")
    top.add_argument("name", metavar="NET", help="photonet, alexnet and so on")
    top.add_argument("layer", metavar="LAYER", help="its name in the network, as relu3")
    top.add_argument("folder", metavar="FOLDER", help="images, also in folders below it")
    top.add_argument("--k", type=int, default=9, help="how many for each channel; 9 if left out")
    top.add_argument("--per-image", type=int, default=1, help="how many of them from one image; 1")
    top.add_argument("--batch", type=int, default=32, help="images per pass; 32")
    top.add_argument("--output", default="runs/top.safetensors", help="file; runs/top.safetensors")
    top.add_argument("--cache", help="folder for what was found so far: a stopped scan goes on from there")
    icons = commands.add_parser("icons", help="draw what every unit of an embedded network asks for")
    icons.add_argument("name", metavar="NET", help="photonet, shapesnet or simpleconvnet")
    icons.add_argument("--output", default="runs/icons", help="folder to write to; runs/icons")
    icons.add_argument("--steps", type=int, default=96, help="steps of each image; 96")
    icons.add_argument("--seed", type=int, default=0)
    sweep = commands.add_parser("sweep", help="run one of the sweeps of lectures 08 to 10 again")
    sweep.add_argument("name", metavar="NAME", help="dropout, remedies, depth, rates, gains or attacks")
    sweep.add_argument("--output", help="csv file to write; runs/NAME.csv if left out")
    commands.add_parser("links", help="ask every link of the course whether it is still there, for authors")
    commands.add_parser("binder", help="write binder/requirements.txt from what is installed, for authors")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words.insert(0, "open")  # `python -m cnnlab --no-browser` opens the course, too
    given, extra = parser.parse_known_args(words)
    if extra and given.command != "open":
        parser.error(f"unknown: {' '.join(extra)}")

    try:
        from cnnlab.course.running import commands as do

        match given.command:
            case "doctor":
                return do.doctor(given.full, given.parameters, given.answered, given.keep)
            case "build":
                return do.build(given.numbers, given.check, given.discard)
            case "present":
                return do.present(given.number, given.parameters)
            case "handout":
                return do.handout(given.number, given.output, given.parameters)
            case "run":
                return do.run(given.number, given.parameters, given.output)
            case "fetch":
                return do.fetch(given.name)
            case "links":
                return do.links()
            case "binder":
                return do.binder()
            case "icons":
                return do.icons(given.name, given.output, given.steps, given.seed)
            case "top":
                wanted = given.k, given.per_image, given.batch
                return do.top(given.name, given.layer, given.folder, given.output, *wanted, given.cache)
            case "sweep":
                return do.sweep(given.name, given.output)
            case "train":
                return do.train(given.name, given.output, given.seed, given.epochs, given.data)
            case _:
                return do.open_course(extra)
    except KeyboardInterrupt as why:  # a training says where it left what it had learned
        print(f"stopped: {why}" if str(why) else "stopped", file=sys.stderr)
        return 130
    except ModuleNotFoundError as missing:
        if (missing.name or "cnnlab").startswith("cnnlab"):
            raise  # our own mistake
        # Most often the environment is there, and another Python was asked.
        print(
            f"cnnlab: this Python ({sys.executable}) has no '{missing.name}'. Type "
            "`.venv/bin/python -m cnnlab` (Windows: `.venv\\Scripts\\python -m cnnlab`), "
            "or install first, as README.md says.",
            file=sys.stderr,
        )
        return 2
    except (ValueError, LookupError, OSError) as error:
        print(f"cnnlab: {error}", file=sys.stderr)
        return 2


def _takes_parameters(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("name", "value"),
        help="another value for one of the lecture's parameters, as -p NET alexnet",
    )


if __name__ == "__main__":
    sys.exit(main())
