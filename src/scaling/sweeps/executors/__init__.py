"""Executors, which train the cells of a sweep: a pool, Slurm, or a launcher of Hydra."""
