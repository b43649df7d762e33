"""What all controls share: their width, and the width of their labels, so that they stand in one column."""

from typing import Any


def control_layout() -> dict[str, Any]:
    """The layout and style of a control, as keyword arguments of an ipywidget."""
    return {"layout": {"width": "min(520px, 100%)"}, "style": {"description_width": "130px"}}


def beside_labels(margin: str = "0") -> dict[str, str]:
    """The layout of what stands below a control, in line with its right part."""
    return {"margin": f"0 0 {margin} 134px"}
