"""Replays: hazards of spikes, by state and by what was done differently."""
