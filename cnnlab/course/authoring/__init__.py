"""From the source of a lecture to its notebooks, and checks of that source."""
