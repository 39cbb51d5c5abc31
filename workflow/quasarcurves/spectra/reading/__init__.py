"""What the readers of files share: finding files, opening them, looking up what is known of the objects."""
