"""The figures: a module each, with the figure's name and a function `draw`."""
