"""The operating system: commands, files, mounts, locks and signals. docs/ARCHITECTURE.md lists the modules."""
