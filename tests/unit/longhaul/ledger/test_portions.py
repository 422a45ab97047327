"""Portions: no write is too heavy, nothing is lost, left out or put in another order."""

from longhaul.ledger.portions import PORTION_BYTES, portions


def split(*sizes: int, limit: int = 10) -> list[list[int]]:
    return list(portions(sizes, lambda size: size, limit))


def test_a_portion_is_as_heavy_as_the_limit_and_no_heavier():
    assert split(6, 4, 1, 9, 1) == [[6, 4], [1, 9], [1]]


def test_an_item_heavier_than_the_limit_goes_alone():
    assert split(1, 99, 1) == [[1], [99], [1]]


def test_of_nothing_there_is_no_portion():
    assert split() == []


def test_the_first_portion_is_found_without_weighing_what_follows_it():
    weighed = []

    def weigh(size: int) -> int:
        weighed.append(size)
        return size

    assert next(portions([6, 4, 5, 7, 8], weigh, 10)) == [6, 4]
    assert weighed == [6, 4, 5]


def test_a_portion_has_eight_mebibytes_unless_somebody_says_otherwise():
    half = PORTION_BYTES // 2
    assert [len(portion) for portion in portions([half, half, 1], lambda size: size)] == [2, 1]
    assert PORTION_BYTES == 8 * 1024 * 1024
