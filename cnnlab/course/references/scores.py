"""A function that an exercise hands to an answer, and that can be read in a message."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Score:
    """A function of a picture that can be read: it is shown where an answer is wrong."""

    text: str
    function: Callable = field(compare=False)
    name: str = "score"

    def __call__(self, image):
        return self.function(image)

    def __repr__(self):
        return f"{self.name} = {self.text}"
