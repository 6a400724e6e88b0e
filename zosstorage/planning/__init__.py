"""Decisions: from what the disks hold to the plan of what is made. Pure. docs/ARCHITECTURE.md lists the modules."""
