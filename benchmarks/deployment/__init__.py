"""Files of this library beside those that other tools make of the same networks."""
