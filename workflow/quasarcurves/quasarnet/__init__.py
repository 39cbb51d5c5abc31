"""What is trained: all that is particular to QuasarNET."""
