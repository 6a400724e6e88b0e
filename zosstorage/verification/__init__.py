"""Reads a provisioned machine back through the tools of the system; shares no reader with the code that made it."""
