"""Images to look at: photos, handwritten digits, scenes with their ground truth, downloads, uploads."""
