"""QuasarNET learning curves: why the training loss spikes, what cures it, how much data is enough.

Nothing is imported here, so that what needs no TensorFlow starts without it.
"""

__version__ = "0.1.0"
