"""What is done with trained networks outside of a study: classify, draw errors, compare."""
