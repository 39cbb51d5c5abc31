"""How a model is trained and what is recorded of it; knows nothing of quasars."""
