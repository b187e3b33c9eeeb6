"""Networks, each offering `losses(batch)`, and the Lightning module that says what a step is.

A network that classifies also offers `losses_and_logits(batch)`.
"""
