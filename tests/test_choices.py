"""Every lecture with every embedded network and every embedded data set that it has a parameter for."""

from pathlib import Path

import papermill
import pytest
from lecture_choices import MORE, OTHER, REFUSED

from cnnlab.course.running import run_notebook
from cnnlab.data import datasets
from cnnlab.nets import models, pretrained

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("[0-9][0-9]*_*.ipynb"))
EMBEDDED = {"NET": set(models.names()) - set(pretrained.NAMES), "DATA": set(datasets.EMBEDDED)}


@pytest.mark.parametrize("lecture", [path.stem for path in NOTEBOOKS])
@pytest.mark.parametrize("parameter", EMBEDDED)
def test_every_embedded_choice_is_tried(root, lecture, parameter):
    """Here, in test_lectures, or as the lecture stands."""
    known = papermill.inspect_notebook(str(root / "notebooks" / f"{lecture}.ipynb"))
    if parameter not in known:
        assert not any(parameter in values for values in (OTHER.get(lecture, {}), *MORE.get(lecture, ())))
        return
    runs = [OTHER.get(lecture, {}), *MORE.get(lecture, ()), *(v for v, _ in REFUSED.get(lecture, ()))]
    tried = {values[parameter] for values in runs if parameter in values}
    assert EMBEDDED[parameter] <= tried | {known[parameter]["default"].strip("\"'")}


@pytest.mark.parametrize(
    ("lecture", "values"),
    [
        pytest.param(lecture, values, id="-".join((lecture, *values.values())))
        for lecture, choices in MORE.items()
        for values in choices
    ],
)
def test_it_runs(root, tmp_path, lecture, values):
    notebook = root / "notebooks" / f"{lecture}.ipynb"
    ran = run_notebook.run(notebook, tmp_path / "ran.ipynb", {"FAST": True, **values})
    assert ran.failed == [] and ran.widgets >= 2


@pytest.mark.parametrize(
    ("lecture", "values", "said"),
    [
        pytest.param(lecture, *choice, id="-".join((lecture, *choice[0].values())))
        for lecture, choices in REFUSED.items()
        for choice in choices
    ],
)
def test_what_cannot_be_is_said_clearly(root, tmp_path, lecture, values, said):
    notebook = root / "notebooks" / f"{lecture}.ipynb"
    (failed,) = run_notebook.run(notebook, tmp_path / "ran.ipynb", {"FAST": True, **values}).failed
    assert said in failed and "Networks that take them: photonet, shapesnet" in failed
