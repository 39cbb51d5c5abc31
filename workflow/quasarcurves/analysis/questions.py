"""The questions that a study answers, in their order."""

from __future__ import annotations

QUESTIONS = {
    "why": "Why does the loss spike?",
    "cures": "Does anything cure it?",
    "converged": "Has each model converged?",
    "enough_data": "How much data is enough?",
}
