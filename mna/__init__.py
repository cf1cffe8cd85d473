"""Model-native agents: one compact network that plans, remembers and calls tools by itself."""

__version__ = "0.1.0"
