"""Statistics that all analyses share: rates, ratios, comparisons, regression of counts, resampling; their constants."""

LEVEL = 0.95
"""Level of all intervals except those of learning curves."""

ALPHA = 1 - LEVEL
"""Level of significance of all tests."""

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a Gaussian variable over its median absolute deviation."""
