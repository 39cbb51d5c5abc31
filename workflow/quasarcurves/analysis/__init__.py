"""The analyses of a study's histories and predictions, as tables and texts."""
