"""Many runs: the command, what it says, and where its cells are trained."""
