"""What only a process shows: signals, pipes, terminals, full and read-only disks."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fakes.process import ServerProcess
from fakes.shell import SHIPWAY, Ran, Shell, Workshop

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals, pipes and terminals are POSIX's")
SECONDS = 30


def wait_for(condition: Path) -> None:
    """Waits until there is a file."""
    end = time.monotonic() + SECONDS
    while not condition.exists():
        assert time.monotonic() < end, f"no {condition}"
        time.sleep(0.01)


@pytest.fixture
def predicting(stocked: Shell) -> subprocess.Popen[str]:
    """A `shipway predict` that has begun to write `out.jsonl` and waits for more rows."""
    words = ("predict", "churn", "--data", "-", "--format", "jsonl", "--out", "out.jsonl")
    process = stocked.process(*words, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write('[30, 3000, "Ulm"]\n' * 2000)
    process.stdin.flush()
    wait_for(stocked.folder / ".out.jsonl.partial")
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_is_cut_off_leaves_no_file(
    stocked: Shell, predicting: subprocess.Popen[str], number: signal.Signals, code: int
) -> None:
    predicting.send_signal(number)
    _, said = predicting.communicate(timeout=SECONDS)
    assert predicting.returncode == code
    assert "Traceback" not in said
    assert list(stocked.folder.iterdir()) == []


def test_packing_can_be_interrupted_at_any_moment(stocked: Shell, workshop: Workshop) -> None:
    before = stocked("list", "--json").facts
    for delay in (0.05, 0.8, 1.3, 2.0):
        process = stocked.process("pack", str(workshop.folder / "churn.joblib"), "--name", "churn")
        time.sleep(delay)
        if delay == 0.05:
            # Python itself may not have come so far that it could say anything but a traceback.
            process.kill()
        else:
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=SECONDS)
        # A shell tells 130 for a process that the signal itself ended, too.
        assert process.returncode in (-signal.SIGKILL, -signal.SIGINT, 0, 130)
        assert "Traceback" not in said
    assert stocked("store", "check").code == 0
    # A pack that was done before its signal came has added a version, listed between those that there were.
    after = stocked("list", "--json").facts
    assert [one for one in after if one in before] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serving_ends_with_0_on_either_signal(stocked: Shell, number: signal.Signals) -> None:
    environ = {"SHIPWAY_STORE": str(stocked.store), "SHIPWAY_SERVER__DRAIN_SECONDS": "0"}
    with ServerProcess("serve", "churn", environ=environ, module="shipway") as server:
        answer = server.client.post(server.address() + "/", json=[[30, 3000, "Ulm"]])
        assert answer.json()["prediction"][0] in ("leaves", "stays")
        server.signal(number)
        assert server.exit_code() == 0
        assert "Traceback" not in server.log


def test_a_second_interrupt_ends_serving_at_once(stocked: Shell) -> None:
    environ = {"SHIPWAY_STORE": str(stocked.store), "SHIPWAY_SERVER__DRAIN_SECONDS": "600"}
    with ServerProcess("serve", "churn", environ=environ, module="shipway") as server:
        address = server.address()
        server.signal(signal.SIGTERM)
        while server.client.get(address + "/readyz").status_code == 200:
            pass
        server.signal(signal.SIGINT)
        assert server.exit_code(SECONDS) == 130


def test_a_reader_that_has_gone_is_no_error_to_shout_about(stocked: Shell, workshop: Workshop) -> None:
    command = f'"{sys.executable}" -m shipway predict churn --data - --format csv | head -n 1'
    rows = (workshop.folder / "churn.csv").read_text(encoding="utf-8")
    text = rows + rows.partition("\n")[2] * 200
    done = subprocess.run(
        ["sh", "-c", command], input=text, env=stocked.environ, capture_output=True, text=True, check=False
    )
    assert done.stdout == "prediction\n"
    assert "error" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_an_output_that_is_full_is_an_error(stocked: Shell) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        assert "no space is left" in stocked.apart("show", "churn", stdout=full).refusal(1)


def test_text_of_any_language_is_written_whatever_the_locale(stocked: Shell) -> None:
    ran = stocked.apart("show", "churn", env=stocked.environ | {"PYTHONIOENCODING": "ascii"}, encoding="utf-8")
    assert ran.code == 0
    assert "Köln" in ran.out


def on_terminal(shell: Shell, *words: str) -> str:
    """Runs `shipway WORDS` with standard error on a terminal; gives what stands there."""
    master, slave = os.openpty()
    try:
        environ = {name: text for name, text in shell.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
        process = shell.process(*words, stderr=slave, stdout=subprocess.DEVNULL, env=environ)
        os.close(slave)
        shown = b""
        while process.poll() is None or select.select([master], [], [], 0)[0]:
            if select.select([master], [], [], 0.05)[0]:
                try:
                    shown += os.read(master, 65536)
                except OSError:  # the other end is closed
                    break
        process.communicate(timeout=SECONDS)
    finally:
        os.close(master)
    return shown.decode()


def test_a_terminal_gets_a_bar_and_colours(stocked: Shell, workshop: Workshop) -> None:
    shown = on_terminal(stocked, "predict", "churn", "--data", str(workshop.folder / "churn.csv"))
    assert "predicting  [####" in shown
    assert "100%" in shown
    assert shown.rstrip().endswith("120 rows predicted")
    assert "\x1b[31merror:\x1b[0m" in on_terminal(stocked, "show", "chrun")


def in_mounts(shell: Shell, mount: str, *words: str) -> Ran:
    """Runs `shipway WORDS` where `mount` was done for it alone."""
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    command = ["sh", "-c", f'{mount} && exec "$@"', "sh", *SHIPWAY, *words]
    done = subprocess.run(
        [unshare, "--mount", *command], env=shell.environ, cwd=shell.folder, capture_output=True, text=True, check=False
    )
    if "mount:" in done.stderr:
        pytest.skip("needs the right to mount")
    return Ran(done.returncode, done.stdout, done.stderr)


def test_a_full_disk_is_said_and_what_is_stored_stays_whole(stocked: Shell, workshop: Workshop) -> None:
    kept = stocked.folder / "kept"
    stocked.store.rename(kept)
    stocked.store.mkdir()
    mount = (
        f"mount -t tmpfs -o size=512k tmpfs '{stocked.store}' && cp -r '{kept}/.' '{stocked.store}'"
        f" && (cat /dev/zero > '{stocked.store}/filler' 2> /dev/null || true)"
    )
    pack = f"{' '.join(SHIPWAY)} pack '{workshop.folder / 'diabetes.joblib'}' --name other"
    check = in_mounts(stocked, f"{mount} && ({pack} > out 2> err; echo $? > code)", "store", "check", "--json")
    out, err, code = ((stocked.folder / name).read_text(encoding="utf-8") for name in ("out", "err", "code"))
    assert "no space is left" in Ran(int(code), out, err).refusal(1)
    assert check.facts == {"store": str(stocked.store), "bundles": 2, "problems": []}


def test_a_store_that_can_only_be_read_answers_and_refuses_the_rest(stocked: Shell) -> None:
    mount = f"mount --bind '{stocked.store}' '{stocked.store}' && mount -o remount,ro,bind '{stocked.store}'"
    data = stocked.write("rows.json", '[[30, 3000, "Ulm"]]')
    assert in_mounts(stocked, mount, "predict", "churn", "--data", data).code == 0
    assert str(stocked.store) in in_mounts(stocked, mount, "alias", "churn:1", "best").refusal(1)
    found = {finding["subject"]: finding for finding in in_mounts(stocked, mount, "doctor", "--json").facts}
    assert "read only" in found["store"]["message"]
