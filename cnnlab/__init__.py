"""cnnlab: what a convolutional network does, in small pieces that can be read.

Import the rooms you need (`from cnnlab.data import photos`); this file stays empty so that
`import cnnlab` costs nothing.
"""

__version__ = "0.1.0"
