"""The configuration: its keys, and the four sources that set them. docs/ARCHITECTURE.md lists the modules."""
