"""Test-time adaptation: losses, objective, module and callbacks."""
