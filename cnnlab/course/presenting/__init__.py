"""A lecture as live slides, and as one HTML file."""
