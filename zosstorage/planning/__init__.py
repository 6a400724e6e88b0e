"""From what was observed to the plan. Only `observe` does I/O. docs/ARCHITECTURE.md lists the modules."""
