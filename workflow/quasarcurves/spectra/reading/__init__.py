"""What the readers of files share: finding files, opening them, joining them with what is known of the objects."""
