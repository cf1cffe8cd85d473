"""Model-native agents: one compact network that plans, remembers and calls tools."""

from importlib import import_module

__version__ = "0.1.0"

# What a user needs, and the module that each name comes from: loaded at first use, so
# that `import mna` takes no time and no torch.
_HOME = {
    "solve": "speed", "watch": "network", "parse": "language",
    "train": "training", "from_profile": "training", "PROFILES": "training",
    "TrainingConfig": "training", "exam": "training",
    "load_agent": "training", "save_agent": "training", "make_agent": "training",
    "Agent": "network", "AgentConfig": "network", "PPOConfig": "ppo",
    "GatedMemory": "memory", "NoMemory": "network",
    "PLAIN": "curriculum", "FAST": "speed", "LEVELS": "problems",
    "TOOLS": "environments", "Tool": "environments", "MNAError": "language",
}

__all__ = [*_HOME]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'mna' has no {name!r}; it has {', '.join(_HOME)}")
    return getattr(import_module(f"mna.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*_HOME, "__version__"]
