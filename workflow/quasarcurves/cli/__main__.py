"""`python -m quasarcurves.cli`."""

import sys

from quasarcurves.cli import main

if __name__ == "__main__":
    sys.exit(main())
