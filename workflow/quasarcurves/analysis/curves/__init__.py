"""Loss curves as people have them: files in many formats, and arrays, as `Curve`."""

from quasarcurves.analysis.curves.curve import EPOCH, STEP, Curve, Told
from quasarcurves.analysis.curves.reading import from_object, read

__all__ = ["EPOCH", "STEP", "Curve", "Told", "from_object", "read"]
