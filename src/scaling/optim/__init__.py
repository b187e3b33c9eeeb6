"""Learning-rate schedules and rules, and parameter groups."""
