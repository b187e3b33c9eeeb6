"""Where the cells of a sweep are trained: a pool, Slurm, or a launcher of Hydra."""
