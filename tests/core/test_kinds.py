"""A table of classes: what is listed is found, and nothing else."""

from __future__ import annotations

import pytest

from core.kinds import Kinds


class Ours:
    pass


class Theirs:
    pass


@pytest.fixture
def table() -> Kinds[object]:
    return Kinds("thing", lambda kind: kind.__name__, [Ours])


def test_a_marked_class_is_listed_once_it_is_added(table: Kinds[object]) -> None:
    assert table.mark(Theirs) is Theirs
    assert Theirs.__listed_in__ is table  # type: ignore[attr-defined]
    assert list(table) == ["Ours"]
    assert not table.holds(Theirs)
    table.add(Theirs)
    table.add(Theirs)
    assert dict(table) == {"Ours": Ours, "Theirs": Theirs}
    assert table.find("Theirs") is Theirs
    assert table.holds(Theirs)


def test_what_is_not_listed_is_not_found_whatever_it_is_called(table: Kinds[object]) -> None:
    for name in ("Theirs", "os.system", "", "core.kinds.Kinds"):
        with pytest.raises(ValueError, match=r"no thing is called .*; there are Ours\. Name the package"):
            table.find(name)


def test_another_class_of_a_known_name_is_refused(table: Kinds[object]) -> None:
    other = type("Ours", (), {"__module__": "elsewhere"})
    with pytest.raises(
        ValueError, match=r"two kinds of thing are called 'Ours': in .*test_kinds and in elsewhere; rename one"
    ):
        table.add(other)
    assert table["Ours"] is Ours
    assert not table.holds(other)


def test_a_class_without_a_name_is_refused_where_it_is_marked() -> None:
    with pytest.raises(AttributeError, match="name"):
        Kinds("thing", lambda kind: kind.name).mark(Theirs)  # type: ignore[attr-defined]
