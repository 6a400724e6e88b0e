"""What disks carry: bytes, tables, superblocks; and the verdict on each disk. ARCHITECTURE.md lists the modules."""
