"""Images from outside: checked downloads, folders, uploads."""
