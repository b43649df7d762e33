"""How long one redraw of a slider takes: `explore` against a matplotlib figure of the same picture.

Run `python tests/benchmarks/slider_redraw.py`. It prints medians and their ratio; it is no test.
"""

import statistics
import time

from matplotlib import pyplot as plt

from cnnlab.data import photos
from cnnlab.widgets import convolution, explore

ROUNDS = 30


def main() -> None:
    photo = photos.load("cat", size=256)

    def fast(sigma):
        return convolution.blur_view(sigma, photo)

    def figure(sigma):
        view = convolution.blur_view(sigma, photo)
        fig, axes = plt.subplots(1, 4, figsize=(11, 3))
        for ax, picture in zip(
            axes, [part for part in view.values() if not isinstance(part, str)], strict=True
        ):
            ax.imshow(picture)
            ax.axis("off")
        return fig

    widgets = {
        "explore, pixels": explore(fast, sigma=(0.3, 6.0, 0.1)),
        "explore, matplotlib": explore(figure, sigma=(0.3, 6.0, 0.1)),
    }
    seconds = {name: [] for name in widgets}
    for k in range(ROUNDS):  # in turns, so that noise hits both
        for name, widget in widgets.items():
            began = time.perf_counter()
            widget.put(sigma=0.3 + 0.1 * (k % 20))
            seconds[name].append(time.perf_counter() - began)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    for name, value in median.items():
        print(f"{name:20} {1000 * value:6.1f} ms")
    print(f"ratio {median['explore, pixels'] / median['explore, matplotlib']:.2f}")


if __name__ == "__main__":
    main()
