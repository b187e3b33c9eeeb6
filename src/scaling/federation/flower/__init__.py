"""Federated rounds by Flower, without telemetry; in one process, without sockets or files.

Only this package imports Flower, which reads the variable below at import.
"""

import os

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
