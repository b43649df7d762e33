"""The commands of `python -m cnnlab`, and what runs lectures and measures them."""
