"""The list of public names in docs/api.txt is what users find: none vanishes, and none comes, by accident.

In: the list, and the modules. Out: a failure that names what differs, and how the list is written again.
"""

from tests.support.public_names import LIST, public_names

RULE = "a name that goes is deprecated for a minor version first (CHANGELOG.md); a new one: python -m " \
       "tests.support.public_names"  # fmt: skip


def test_no_public_name_has_vanished_or_come_unseen():
    listed, found = LIST.read_text(encoding="utf-8").split(), list(dict.fromkeys(public_names()))
    assert not sorted(set(listed) - set(found)), RULE
    assert not sorted(set(found) - set(listed)), RULE
