"""Do gradients reach the first layers, and what changes that?"""
