"""One-shot disk initializer for the first boot of a node: the engine."""

__version__ = "0.1.0"
