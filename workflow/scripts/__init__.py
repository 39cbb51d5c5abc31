"""The steps of the workflow as commands: `python -m scripts.NAME`."""

import os
import sys

from scripts import fork_server

# Python calls itself so while it looks for the module that it is to run
if sys.argv[0] == "-m" and fork_server.VARIABLE in os.environ:
    fork_server.attach()
