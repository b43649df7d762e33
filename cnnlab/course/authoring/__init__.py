"""From the source of a lecture to its notebooks, and the checks of sources."""
