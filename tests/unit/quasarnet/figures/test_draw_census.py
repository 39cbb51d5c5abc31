"""The figures of a study's spectra before it is run."""

import numpy as np

from quasarcurves.quasarnet.figures import census as figures
from quasarcurves.spectra import census
from quasarcurves.spectra.sources import read


def test_every_example_has_a_frame_and_few_or_strange_spectra_are_drawn():
    found = census.take([read({"source": "simulated", "n_spectra": 120, "seed": 1})])
    frames = figures.examples(found.examples).axes
    assert sum(axes.axison for axes in frames) == len(found.examples) == 24
    one = found.examples.take(np.array([0]))
    one.z[:] = np.nan
    assert sum(axes.axison for axes in figures.examples(one).axes) == 1
    left, right = figures.histograms(census.take([one])).axes
    assert len(right.patches) > 0
    assert [text.get_text() for text in left.texts] == ["none"]
