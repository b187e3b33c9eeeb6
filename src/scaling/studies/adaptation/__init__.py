"""Does adaptation at test time help, and does its batch size matter?"""
