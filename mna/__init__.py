"""Model-native agents: one small network that plans, remembers and calls tools.

    >>> import mna
    >>> mna.solve("2(x+3)=14")["answer"]
    4
"""

import importlib

__version__ = "0.2.0"

# What a user needs, and the module that has it; nothing is imported before it is asked for.
PUBLIC = {
    "solve": "evaluation", "exam": "training", "train": "training", "from_profile": "training",
    "load_agent": "training", "save_agent": "training", "PROFILES": "training",
    "watch": "network", "Agent": "network", "AgentConfig": "network",
    "GatedMemory": "memory", "NoMemory": "network", "PLAIN": "curriculum", "FAST": "speed",
    "LEVELS": "problems", "TOOLS": "environments", "Tool": "environments",
    "parse": "language", "MNAError": "language",
}
__all__ = list(PUBLIC)


def __getattr__(name: str):
    if name not in PUBLIC:
        raise AttributeError(f"module 'mna' has no attribute {name!r}; it has {', '.join(PUBLIC)}")
    return getattr(importlib.import_module(f"mna.{PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*PUBLIC, "__version__"])
