"""Parts that the readers of files share: finding and opening files, and looking up the truth of the objects."""
