"""What a run is: schema, checks, identity, grid and errors."""
