import json
import logging

import pytest
import structlog

from longhaul.process.logs import set_up


@pytest.fixture(autouse=True)
def restored():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("celery", "kombu", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()


def test_a_line_of_ours_is_one_line_of_json(capsys):
    set_up("INFO", "json")
    structlog.get_logger("ours").info("batch", step="send", claimed=3)
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert json.loads(line).items() >= {"event": "batch", "step": "send", "claimed": 3, "level": "info"}.items()
    assert captured.out == ""


def test_a_line_of_a_librarys_has_the_same_shape(capsys):
    set_up("INFO", "json")
    logging.getLogger("theirs").warning("hello %s", "you")
    assert json.loads(capsys.readouterr().err).items() >= {"event": "hello you", "level": "warning"}.items()


def test_text_begins_with_time_level_and_event(capsys):
    set_up("INFO", "text")
    structlog.get_logger("ours").warning("two words", job="a b")
    line = capsys.readouterr().err
    assert line.startswith("timestamp=2")
    assert line.rstrip().endswith('level=warning event="two words" job="a b"')


def test_an_error_with_line_breaks_is_still_one_line(capsys):
    set_up("INFO", "json")
    try:
        int("first\nsecond")
    except ValueError:
        structlog.get_logger("ours").exception("it broke")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: invalid" in json.loads(line)["exception"]


def test_below_the_level_nothing_is_said(capsys):
    set_up("WARNING", "json")
    structlog.get_logger("ours").info("quiet")
    logging.getLogger("theirs").info("quiet")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_celerys_own_lines_that_quote_messages_stay_off_at_any_level(capsys, level):
    set_up(level, "json")
    logging.getLogger("celery.worker").debug("message with a secret")
    logging.getLogger("kombu.x").info("message with a secret")
    logging.getLogger("celery.app.trace").info("Task succeeded")
    assert capsys.readouterr().err == ""


def test_setting_up_twice_says_everything_once(capsys):
    set_up("INFO", "json")
    set_up("INFO", "json")
    logging.getLogger("theirs").warning("once")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_half_a_character_does_not_break_a_line(capsys):
    set_up("INFO", "json")
    structlog.get_logger("ours").warning("words", reason="\ud800")
    assert json.loads(capsys.readouterr().err)["reason"] == "\ud800"
