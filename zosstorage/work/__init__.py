"""The code that writes: partition tables, filesystems, mounts, subvolumes. docs/ARCHITECTURE.md lists the modules."""
