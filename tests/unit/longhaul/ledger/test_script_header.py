"""What is read out of a header; what is no header is refused."""

import pytest

from longhaul.ledger.script_header import Argument, HeaderError, Repeated, parse_header

SOURCE = """\
-- Move a record.
-- It has two lines.
-- USES: states, batches
-- ARGS: now, id
--       due:number?, on:flag       when, and whether
--       names[], fields{}
--       rows...(name, tags[])      a remark, (with brackets)
-- KEYS: record, due,
--       books; from ARGS: names, rows
-- RETURNS: 'moved',
--          or why not
local x = 1
-- ARGS: not of the header any more
"""


def test_a_header_is_read_to_its_end():
    header = parse_header("move.lua", SOURCE)
    assert (header.purpose, header.is_script) == ("Move a record. It has two lines.", True)
    assert header.uses == ("states", "batches")
    assert header.args == (
        Argument("now", "text"),
        Argument("id", "text"),
        Argument("due", "number", optional=True),
        Argument("on", "flag"),
        Argument("names", "list"),
        Argument("fields", "pairs"),
    )
    assert header.repeated == Repeated("rows", (Argument("name", "text"), Argument("tags", "list")))
    assert header.names == ("now", "id", "due", "on", "names", "fields", "rows")
    assert (header.keys, header.argument_keys) == (("record", "due", "books"), ("names", "rows"))
    assert header.returns == "'moved', or why not"


def test_a_file_of_functions_has_no_arguments():
    header = parse_header("states.lua", "-- Functions.\n-- USES: other\nlocal x = 1\n")
    assert (header.is_script, header.uses, header.args) == (False, ("other",), ())


def test_keys_that_are_given_have_their_own_section():
    header = parse_header("take.lua", "-- X.\n-- GIVEN KEYS: one, others[]\n-- ARGS: value\n")
    assert (header.given_keys, header.keys) == (("one", "others[]"), ())


def test_a_list_of_keys_is_the_last_of_them():
    with pytest.raises(HeaderError, match=r"^take\.lua: only the last of the keys that are given may be a list$"):
        parse_header("take.lua", "-- X.\n-- GIVEN KEYS: others[], one\n-- ARGS: value\n")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("id!", "'id!' is no argument"),
        ("id:text", "'id:text' is no argument"),
        ("names[]?", "'names[]?' is no argument"),
        ("names[], id", "the argument id stands after a list"),
        ("id, id", "the argument id stands there twice"),
        ("rows...(tags[])", "what repeats as rows does not begin with a plain argument"),
        ("rows...()", "what repeats as rows does not begin with a plain argument"),
        ("rows...(id), more", "is no argument"),
    ],
)
def test_arguments_that_cannot_be_read_are_refused_by_the_scripts_name(args, words):
    with pytest.raises(HeaderError, match=r"^move\.lua: ") as error:
        parse_header("move.lua", f"-- X.\n-- ARGS: {args}\n")
    assert words in str(error.value)


def test_a_section_stands_there_once():
    with pytest.raises(HeaderError, match=r"^move\.lua: its header has ARGS twice$"):
        parse_header("move.lua", "-- X.\n-- ARGS: id\n-- ARGS: lane\n")
