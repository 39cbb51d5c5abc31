"""Where wings meet: what the rules of the workflow run."""
