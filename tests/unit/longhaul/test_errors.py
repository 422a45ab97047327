import pickle

import pytest

from longhaul.errors import InvalidArgument, LonghaulError, PreflightFailed, WriteRefused, invalid


def test_an_invalid_argument_says_argument_value_and_rule():
    assert str(invalid("url", "ftp://x", "must be http")) == "url: 'ftp://x': must be http"


def test_a_long_value_is_shown_in_part_with_its_length():
    message = str(invalid("body", "x" * 1000, "is too long"))
    assert message == f"body: '{'x' * 119}… (1002 characters): is too long"


def test_a_value_of_exactly_the_shown_length_is_shown_whole():
    assert str(invalid("a", "x" * 118, "rule")) == f"a: '{'x' * 118}': rule"


@pytest.mark.parametrize("error", [InvalidArgument, PreflightFailed, WriteRefused])
def test_every_error_is_of_the_one_tree(error):
    assert issubclass(error, LonghaulError)


def test_an_error_survives_the_way_to_the_caller():
    error = invalid("url", "x", "rule")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own)
    assert (type(again), again.args) == (InvalidArgument, error.args)
