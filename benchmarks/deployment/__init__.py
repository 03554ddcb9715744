"""Files of this library compared with those of other tools for the same networks."""
