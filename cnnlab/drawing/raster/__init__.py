"""Images as arrays and bytes, without matplotlib: what a widget draws again at every step of a slider."""
