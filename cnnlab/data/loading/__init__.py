"""Images from outside: checked downloads, and folders of images."""
