"""What commands share: how one is declared, its progress bar, the files it may write."""
