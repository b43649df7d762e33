"""The commands of `python -m cnnlab`, and the code that runs lectures and measures them."""
