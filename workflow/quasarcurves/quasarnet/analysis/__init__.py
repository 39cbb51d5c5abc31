"""What QuasarNET's predictions are worth: its scores, their tables, its errors, and what all of these are called."""
