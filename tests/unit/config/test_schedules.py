from pathlib import Path

import pytest
from celery.schedules import crontab, schedule

from config.schedules import read_schedules
from config.settings import SettingsError


def written(folder: Path, text: str) -> Path:
    file = folder / "schedules.toml"
    file.write_text(text)
    return file


def test_intervals_and_crons_become_beat_entries(tmp_path):
    file = written(
        tmp_path,
        """
[[schedule]]
name = "front page"
every = 900
arguments = { url = "https://example.com/" }

[[schedule]]
name = "catalogue"
cron = "30 5 1-7 * mon"
task = "jobs.submit_batch"
arguments = { requests = ["https://example.com/a"] }
""",
    )
    entries = read_schedules(file)
    assert entries == {
        "schedule:front page": {
            "task": "jobs.submit",
            "schedule": schedule(900),
            "kwargs": {"url": "https://example.com/"},
        },
        "schedule:catalogue": {
            "task": "jobs.submit_batch",
            "schedule": crontab("30", "5", "mon", "1-7", "*"),
            "kwargs": {"requests": ["https://example.com/a"]},
        },
    }


@pytest.mark.parametrize(
    ("table", "line", "words"),
    [
        ('name = "x"\nevery = 0', 3, "every: 0: must be a number of seconds, at least 1"),
        ('name = "x"\nevery = true', 3, "every: True: must be"),
        ('name = "x"', 1, "cron or every: exactly one"),
        ('name = "x"\nevery = 5\ncron = "* * * * *"', 1, "cron or every: exactly one"),
        ('name = "x"\ncron = "* * *"', 3, "cron: '\\* \\* \\*': must have five fields"),
        ('name = "x"\ncron = "* * * * funday"', 3, "cron: .*funday"),
        ("every = 5", 1, "name: must be a non-empty string"),
        ('name = "x"\nevery = 5\ntask = "os.system"', 4, "task: 'os.system': must be one of"),
        ('name = "x"\nevery = 5\narguments = 7', 4, "arguments: must be a table"),
        ('name = "x"\nevery = 5\ncolour = "red"', 4, "colour: unknown key"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, table, line, words):
    with pytest.raises(SettingsError, match=f"schedules.toml, line {line}: {words}"):
        read_schedules(written(tmp_path, f"[[schedule]]\n{table}\n"))


def test_names_must_differ(tmp_path):
    text = '[[schedule]]\nname = "x"\nevery = 5\n[[schedule]]\nname = "x"\nevery = 6\n'
    with pytest.raises(SettingsError, match=r"line 5: name: 'x' is there twice"):
        read_schedules(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "words"), [("[[schedule\n", "line 1"), ("[other]\na = 1\n", "unknown table or key `other`")]
)
def test_a_file_of_another_form_is_refused(tmp_path, text, words):
    with pytest.raises(SettingsError, match=words):
        read_schedules(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"LONGHAUL_SCHEDULES_FILE: .*nowhere.toml: No such file"):
        read_schedules(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    "text",
    [
        '[schedule]\nname = "x"\nevery = 5\n',
        "schedule = 3\n",
        "schedule = [3]\n",
        'schedule = [{ name = "x", every = 5 }]\n',
    ],
)
def test_schedules_that_are_no_list_of_tables_are_told_how_to_be(tmp_path, text):
    with pytest.raises(
        SettingsError, match=r"schedules.toml: `schedule` must be a list of tables: write \[\[schedule\]\]"
    ):
        read_schedules(written(tmp_path, text))


def test_a_file_without_schedules_is_fine(tmp_path):
    assert read_schedules(written(tmp_path, "# none yet\n")) == {}
