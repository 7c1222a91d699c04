"""The speed table: rounds of this simulator, of plain loops that do the same work, and of the machine alone."""
