"""Test-time adaptation: losses, objective, module and its own callbacks."""
