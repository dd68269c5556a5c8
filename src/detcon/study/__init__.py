"""Studies: grids of pretrainings and transfers, run and reported claim by claim."""
