"""The configuration: what may be set, and the four sources that set it; ARCHITECTURE has the map of the modules."""
