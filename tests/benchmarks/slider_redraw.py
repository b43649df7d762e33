"""How long one redraw of a slider takes: `explore` against a matplotlib figure of the same image.

Run `python tests/benchmarks/slider_redraw.py`. It prints medians and their ratio; it is no test.
"""

from collections.abc import Iterator

from matplotlib import pyplot as plt
from side_by_side import Row, in_turns, medians

from cnnlab.data import photos
from cnnlab.widgets import explore
from cnnlab.widgets.lessons import convolution

ROUNDS = 30


def rows(quick: bool = False) -> Iterator[Row]:
    """For the table of all benchmarks."""
    told = seconds(8 if quick else ROUNDS)
    ours, theirs = told["explore, pixels"], told["explore, matplotlib"]
    yield Row("one redraw of a slider, in the kernel", ours, "a matplotlib figure", theirs, 0.35)


def seconds(rounds: int = ROUNDS) -> dict[str, float]:
    """The median of each way."""
    photo = photos.load("cat", size=256)

    def fast(sigma):
        return convolution.blur_view(sigma, photo)

    def figure(sigma):
        view = convolution.blur_view(sigma, photo)
        fig, axes = plt.subplots(1, 4, figsize=(11, 3))
        for ax, image in zip(
            axes, [part for part in view.values() if not isinstance(part, str)], strict=True
        ):
            ax.imshow(image)
            ax.axis("off")
        return fig

    widgets = {
        "explore, pixels": explore(fast, sigma=(0.3, 6.0, 0.1)),
        "explore, matplotlib": explore(figure, sigma=(0.3, 6.0, 0.1)),
    }
    moved = {name: iter(range(rounds + 1)) for name in widgets}

    def ways(name):
        return lambda: widgets[name].put(sigma=0.3 + 0.1 * (next(moved[name]) % 20))

    return medians(in_turns({name: ways(name) for name in widgets}, rounds))


def main() -> None:
    told = seconds()
    for name, value in told.items():
        print(f"{name:20} {1000 * value:6.1f} ms")
    print(f"ratio {told['explore, pixels'] / told['explore, matplotlib']:.2f}")


if __name__ == "__main__":
    main()
