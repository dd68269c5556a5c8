"""Studies: grids of pretrainings and transfers, carried out, kept, and reported claim by claim."""
