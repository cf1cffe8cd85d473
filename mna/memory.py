"""A gated memory: slots that keep values, and a gate that opens in one stage only."""

from mna.language import Value


class GatedMemory:
    """A buffer of a few values. It changes in one stage only: there the gate is open.

    size: K, its slots. usable: how many of them may be written, for practice with fewer.
    """

    def __init__(self, size: int, usable: int):
        self.slots: list[Value | None] = [None] * size
        self.usable = usable

    @property
    def free(self) -> list[int]:
        """The slots that hold nothing and may be written."""
        return [k for k in range(self.usable) if self.slots[k] is None]

    def write(self, gate: list[int], value: Value) -> None:
        """m_k = value where gate_k is 1; m_k stays as it was where gate_k is 0."""
        self.slots = [value if g else kept for g, kept in zip(gate, self.slots, strict=True)]

    def recall(self, slot: int) -> Value:
        """The value of a slot, which is free afterwards."""
        value, self.slots[slot] = self.slots[slot], None
        return value
