"""What the histories mean."""
