"""Find stop strings in a text that arrives in pieces."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class _Node:
    """A prefix of some stop string. `fail`: its longest proper suffix that is such a prefix, too."""

    __slots__ = ("depth", "fail", "next", "stop")

    def __init__(self, depth: int) -> None:
        self.next: dict[str, _Node] = {}
        self.fail: _Node = self
        self.depth = depth
        self.stop: str | None = None


class StopStrings:
    """Lets a text through up to the first stop string that is completed; of two ending together, the longer.

    What may yet become a stop string is held back, never more: linear in the text, whatever the chunks.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._root = _automaton([stop for stop in stops if stop])
        self._node = self._root
        self._held = ""
        self.matched: str | None = None

    def push(self, text: str) -> tuple[str, str | None]:
        """(what may be shown now, the stop string once it was met); after a match nothing more is shown."""
        if self.matched is not None:
            return "", self.matched
        root, node = self._root, self._node
        if node is root and root.next.keys().isdisjoint(text):
            return text, None
        for end, letter in enumerate(text, 1):
            while (following := node.next.get(letter)) is None and node is not root:
                node = node.fail
            node = following or root
            if node.stop is not None:
                self.matched = node.stop
                shown = (self._held + text[:end])[: -len(node.stop)]
                self._held = ""
                return shown, node.stop
        self._node = node
        whole = self._held + text
        safe = len(whole) - node.depth
        self._held = whole[safe:]
        return whole[:safe], None

    def flush(self) -> str:
        """What was held back, once the text has ended."""
        held, self._held, self._node = self._held, "", self._root
        return held


def _automaton(stops: list[str]) -> _Node:
    """The Aho-Corasick automaton of `stops`."""
    root = _Node(0)
    for stop in stops:
        node = root
        for depth, letter in enumerate(stop, 1):
            node = node.next.setdefault(letter, _Node(depth))
        node.stop = stop
    queue = deque([root])
    while queue:
        node = queue.popleft()
        for letter, child in node.next.items():
            child.fail = root if node is root else _follow(root, node.fail, letter)
            child.stop = child.stop or child.fail.stop
            queue.append(child)
    return root


def _follow(root: _Node, node: _Node, letter: str) -> _Node:
    while letter not in node.next and node is not root:
        node = node.fail
    return node.next.get(letter, root)
