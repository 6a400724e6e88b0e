"""One-shot disk initializer: the engine."""

__version__ = "0.1.0"
