"""A choice of images: embedded photos, and the reader's own."""

import html
from dataclasses import dataclass

import ipywidgets
import traitlets
from torch import Tensor

from cnnlab.data import photos, uploads
from cnnlab.errors import unknown
from cnnlab.widgets.style import beside_labels

YOURS = "your image"


@dataclass(frozen=True)
class ImageInput:
    """Ask for an image, embedded or the reader's own; the view gets a (1, 3, size, size) tensor.

    Attributes:
        names: the photos to choose from.
        size: side in pixels, for an upload too.
        value: the name at the start; the first if left out.
    """

    names: tuple[str, ...]
    size: int = 224
    value: str | None = None


class ImageChooser(ipywidgets.VBox):
    """A choice of photos and a button for the reader's own. `value` is a name, `tensor(name)` an image."""

    value = traitlets.Unicode()

    def __init__(self, spec: ImageInput, label: dict):
        self._size, self.description = spec.size, label["description"]
        self._images: dict[str, Tensor] = {}
        if not spec.names:
            raise ValueError(f"'{self.description}' has no images to choose from")
        if spec.value is not None and spec.value not in spec.names:
            raise unknown("image", spec.value, spec.names)
        self.choice = ipywidgets.Dropdown(options=list(spec.names), **label)
        self.upload = ipywidgets.FileUpload(
            accept="image/*",
            multiple=False,
            description=YOURS,
            layout={"width": "max-content", "flex": "0 0 auto"},  # a long complaint beside it takes no width
        )
        self.message = ipywidgets.HTML()
        own = ipywidgets.HBox([self.upload, self.message], layout=beside_labels())
        super().__init__([self.choice, own])
        self.choice.value = spec.value if spec.value is not None else spec.names[0]
        traitlets.link((self.choice, "value"), (self, "value"))
        self.upload.observe(self._uploaded, "value")

    def tensor(self, name: str | Tensor) -> Tensor:
        """The image of that name, (1, 3, size, size), a fresh copy; a tensor is given back as it is."""
        if isinstance(name, Tensor):
            return name
        if name not in self._images:
            self._images[name] = photos.load(name, size=self._size)
        return self._images[name].clone()

    def _uploaded(self, change):
        if not change["new"]:
            return
        file = change["new"][0]
        try:
            image = uploads.read(bytes(file["content"]), self._size)
        except ValueError as error:
            # The former image stays; the reader sees why.
            self.message.value = f'<span role="alert">\u26a0 {html.escape(str(error))}</span>'
            return
        finally:
            self.upload.value = ()  # the bytes need not be kept, and the same file can be chosen again
        self.message.value = f"\u2713 {html.escape(file['name'])}"
        self._images[YOURS] = image
        with self.hold_trait_notifications():  # whoever watches hears of one change
            if self.choice.value == YOURS:
                self.choice.value = self.choice.options[0]  # leave and come back, so that the change is seen
            if YOURS not in self.choice.options:
                self.choice.options = [*self.choice.options, YOURS]
            self.choice.value = YOURS
