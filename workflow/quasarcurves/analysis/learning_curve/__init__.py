"""Learning curves: how an error falls with the number of training examples, and how many of them are enough."""

from quasarcurves.analysis.learning_curve.families import FAMILIES
from quasarcurves.analysis.learning_curve.fitting import CURVE_LEVEL, LearningCurve, fit

__all__ = ["CURVE_LEVEL", "FAMILIES", "LearningCurve", "fit"]
