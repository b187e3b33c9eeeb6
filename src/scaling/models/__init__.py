"""Networks, each offering `losses(batch)`, and the Lightning module that says what a step is."""
