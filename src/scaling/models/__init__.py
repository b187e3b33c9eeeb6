"""Networks, which have `losses(batch)`, and the Lightning module that trains them.

A network that classifies also has `losses_and_logits(batch)`.
"""
