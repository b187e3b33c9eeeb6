"""Runs on disk: rows, tables, plans, locks, heartbeats and exports."""
