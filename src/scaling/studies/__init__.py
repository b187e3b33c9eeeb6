"""One file per question: its claims, tables and figures."""
