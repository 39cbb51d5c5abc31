"""What commands share: how one is declared, and the files it may write."""
