"""Why a loss spikes: what moves around a spike, what foretells it, and what that says of each hypothesis."""
