"""What a result depends on, and what lies on disk of a study."""
