"""Programs that install: run so that nothing of them outlives the run, and told of when they fail."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.live.locks import Lock

if TYPE_CHECKING:
    from pytest_perfguard.live.janitor import Janitor


def run(
    command: Sequence[str], *, label: str, lock: Lock, log: Path, janitor: Janitor | None, trying: bool
) -> str | None:
    """Return what `command` printed; None where it failed and was only `trying`, else `MeasurementError` is raised.

    All that it starts ends with it, and with this process. `label` is what it installs, `log` keeps what it printed
    when it failed.
    """
    with subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(os.environ),
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # so that compilers that it starts can be ended with it
        pass_fds=lock.shared_with_children(),
    ) as process:
        if janitor is not None:
            janitor.guard_group(process.pid)
        try:
            output, _ = process.communicate()
        except BaseException:
            _end(process)
            raise
        finally:
            if janitor is not None:
                janitor.release_group(process.pid)
    if process.returncode == 0:
        return output
    if trying:
        return None
    log.write_text(f"$ {shlex.join(command)}\n{output}", encoding="utf-8")
    raise MeasurementError(failure(label, command, process.returncode, output, log))


def _end(process: subprocess.Popen[str]) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def failure(label: str, command: Sequence[str], code: int, output: str, log: Path) -> str:
    """Return the message of an installation that failed: the command, its last lines, and what to do."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    shown = "\n".join(f"    {line}" for line in lines[-25:])
    return (
        f"{label} could not be installed: `{shlex.join(command)}` ended with {code}:\n{shown}\n"
        f"Put right what it names (all of its output is in {log}), or leave --perfguard-against-install out"
    )


_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "COVERAGE_PROCESS_START")
_ELSEWHERE = (
    "TARGET",
    "PREFIX",
    "ROOT",
    "PYTHON",
    "UPGRADE",
    "IGNORE_INSTALLED",
    "FORCE_REINSTALL",
    "NO_DEPS",
    "DRY_RUN",
)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for pip: the user's indexes, constraints and compilers, and nothing that misleads it."""
    removed = {*_FOREIGN, *(f"PIP_{name}" for name in _ELSEWHERE)}
    return {
        **{name: value for name, value in environ.items() if name not in removed},
        "PIP_USER": "0",
        "PYTHONIOENCODING": "utf-8",
    }
