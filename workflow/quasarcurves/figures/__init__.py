"""What one looks at: one module per figure."""
