"""The process that parses files: no file hangs it, fills it or outlives it, and the next one is read all the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from retrievers import ParserLimits, ParserProcess, parse_file
from retrievers.errors import DocumentError, NoTextError
from tests.retrievers.files import make_docx, make_pdf
from tests.retrievers.hostile import hostile_files
from tests.waiting import wait_until

PARSER = "tests.retrievers.parsers:misbehave"
LIMITS = ParserLimits(cpu_s=1, wall_s=60, memory_bytes=100_000_000, reply_bytes=1_000_000)


@pytest.fixture(scope="module")
def parser():
    with ParserProcess(limits=LIMITS, parser=PARSER) as process:
        yield process


def _text(parser, what):
    return parser.parse(what.encode(), Path("退货.html"), source="a")[0].page_content


def _is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text("utf-8").split()[2] != "Z" if Path("/proc").exists() else True


@pytest.mark.parametrize(
    ("name", "raw"), [("a.docx", make_docx()), ("a.pdf", make_pdf(["退货。"], [])), ("a.html", b"<h1>a<h1>b")]
)
def test_documents_are_those_that_are_parsed_here(name, raw):
    with ParserProcess() as process:
        found = process.parse(raw, Path("x") / name, source=f"help/{name}")
    assert found == parse_file(raw, Path("x") / name, source=f"help/{name}")


@pytest.mark.parametrize(("name", "raw"), [("a.html", b""), ("a.docx", b"x"), ("a.exe", b""), ("\udcff.html", b"<p>x")])
def test_errors_are_those_that_are_raised_here(name, raw):
    caught = []
    with ParserProcess() as process:
        for parse in (process.parse, parse_file):
            with pytest.raises(DocumentError) as error:
                parse(raw, Path(name), source=name)
            caught.append((error.type, str(error.value)))
    assert caught[0] == caught[1]


def test_a_file_without_text_is_told_from_a_damaged_one():
    with ParserProcess() as process, pytest.raises(NoTextError, match=r"a\.html is empty"):
        process.parse(b" ", Path("a.html"), source="a.html")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("compute", "took longer than 1 seconds of computing"),
        ("keep 900000000", "took more than 100 MB of memory"),
        ("long 2000000", "holds more than 1 MB of text"),
        ("die", "SIGSEGV"),
        ("exit", "status 7"),
        ("raise", "KeyError"),
    ],
)
def test_a_file_over_a_limit_is_refused_and_the_next_one_read(parser, what, reason):
    assert _text(parser, "before") == "before"
    with pytest.raises(DocumentError, match=f"^退货.html .*{reason}"):
        _text(parser, what)
    assert _text(parser, "after") == "after"


def test_a_file_at_which_nothing_is_computed_is_given_up():
    limits = ParserLimits(wall_s=0.2)
    with ParserProcess(limits=limits, parser=PARSER) as process, pytest.raises(DocumentError, match=r"0\.2 seconds"):
        _text(process, "sleep")


def test_one_process_reads_all_and_no_file_pays_for_those_before_it(parser):
    pid = _text(parser, "pid")
    assert _text(parser, "pid") == pid
    for _ in range(4):  # together more than there is
        assert _text(parser, "keep 40000000") == "keep 40000000"
    assert _text(parser, "pid") != pid


def test_what_a_library_prints_is_no_answer(parser, capfd):
    assert _text(parser, "print") == "print"
    assert _text(parser, "next") == "next"
    assert "written" not in capfd.readouterr().out


def test_an_interrupt_ends_the_process_and_its_answer_is_not_taken_for_another_files(parser, monkeypatch):
    pid = int(_text(parser, "pid"))

    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("llms.processes.limited._read_answer", interrupt)
        with pytest.raises(KeyboardInterrupt):
            _text(parser, "first")
    assert not _is_running(pid)
    assert _text(parser, "second") == "second"


def test_a_closed_process_is_gone_and_nothing_is_started_for_nothing():
    process = ParserProcess(parser=PARSER)
    process.close()
    pid = int(_text(process, "pid"))
    process.close()
    assert not _is_running(pid)


@pytest.mark.parametrize("work", ["compute", "note {}"])
def test_a_process_ends_with_the_program_that_started_it(tmp_path, work):
    note = tmp_path / "pid"
    program = (
        "import sys; from pathlib import Path; from retrievers import ParserProcess\n"
        f"parser = ParserProcess(parser={PARSER!r})\n"
        "print(parser.parse(b'pid', Path('a'), source='a')[0].page_content, flush=True)\n"
        "parser.parse(sys.argv[1].encode(), Path('a'), source='a')"
    )
    command = [sys.executable, "-c", program, work.format(note)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as started:
        pid = int(started.stdout.readline())
        if "note" in work:
            wait_until(note.exists)
        started.kill()
    wait_until(lambda: not _is_running(pid))


def test_memory_is_watched_where_the_system_does_not(monkeypatch):
    """As on macOS; tried in a process of its own, which it ends."""
    program = (
        "import threading; from llms.processes import limited_worker as worker\n"
        "worker._STATUS = worker.Path('none')\n"
        "worker._peak_bytes = lambda: int(worker.Path('/proc/self/statm').read_text().split()[1]) * 4096\n"
        "worker._limit_memory(50_000_000)\n"
        "kept = []\n"
        "while True: kept.append(bytes(bytearray(1_000_000)))"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("reads the memory as Linux gives it")
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 3


def test_larger_files_may_take_longer_up_to_two_minutes():
    limits = ParserLimits()
    assert [limits.cpu_s_of(size) for size in (0, 1_000_000, 3_000_000, 10**8)] == [15, 15, 35, 120]
    assert ParserLimits(cpu_s=300).cpu_s_of(10**8) == 300


@pytest.mark.slow
@pytest.mark.timeout(1_200)  # a few of them use up the limit
def test_a_hundred_hostile_files_are_read_or_refused_within_the_limits():
    num_files = 0
    with ParserProcess(limits=ParserLimits(cpu_s=10)) as process:
        for name, raw in hostile_files():
            num_files += 1
            try:
                process.parse(raw, Path(name), source=name)
            except DocumentError as error:
                assert name in str(error)  # noqa: PT017
    assert num_files >= 100
