"""Pictures to look at: embedded photos, handwritten digits, synthetic scenes with their ground truth, downloads."""
