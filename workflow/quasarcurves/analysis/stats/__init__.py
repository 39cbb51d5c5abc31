"""Rates, ratios and intervals, for all analyses."""
