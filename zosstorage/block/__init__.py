"""What the disks hold: their bytes and tables, and whether they are empty. docs/ARCHITECTURE.md lists the modules."""
