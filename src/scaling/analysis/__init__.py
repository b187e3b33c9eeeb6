"""Statistics of sweeps: tables in, frozen results out."""
