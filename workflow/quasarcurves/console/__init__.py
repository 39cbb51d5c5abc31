"""What one sees in the terminal: a study under way, and what it found."""
