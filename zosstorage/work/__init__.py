"""What the states do: tables, filesystems, mounts, subvolumes. docs/ARCHITECTURE.md lists the modules."""
