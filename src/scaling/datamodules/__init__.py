"""Data sets. Each batch depends on (data, seed, index) only, not on earlier batches."""
