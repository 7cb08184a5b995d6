"""Which stored runs this run is compared with, and why these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_perfguard.baseline.folder import load_file
from pytest_perfguard.errors import LineageError, StoreError
from pytest_perfguard.model import Baseline, Commit, Header, Machine, Note, StoredRun
from pytest_perfguard.model.protocols import Lineage, Store

AUTO = "auto"
REACH = 500
"""First-parent ancestors among which a stored commit is looked for."""
OLDER = 20
"""Runs of further commits that fill in what the chosen one does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """A commit with stored runs."""

    sha: str
    reason: str
    weak: bool = False


def check_wanted(store: Store, lineage: Lineage, wanted: str) -> None:
    """Raise where `wanted`, as `select` takes it, names nothing: no commit, and no run file that can be read.

    A commit without stored runs is none of this: the first run of a pipeline has nothing to be compared with.
    Raises `LineageError` for a revision, `StoreError` for a path.
    """
    if wanted == AUTO:
        return
    path = Path(wanted)
    if path.is_file():
        load_file(path)
        return
    try:
        _sha(lineage, wanted, (header.commit.sha for header in store.headers()))
    except LineageError as error:
        if path.is_dir():
            raise StoreError(
                f"{wanted} is a folder and no revision; name a revision, or one run's file, and the folder of all runs "
                "with --perfguard-store"
            ) from error
        raise


def select(
    store: Store,
    lineage: Lineage,
    machine: Machine,
    head: Commit,
    wanted: str = AUTO,
    *,
    history: int = 20,
    where: str = "",
) -> Baseline:
    """Return the runs to compare a run of `head` on `machine` with, and up to `history` further ones.

    `wanted` is a revision or the path of a run file, which then is taken or nothing is; or "auto", in this order: the
    commit that CI or a merge commit names as the base; HEAD itself under uncommitted changes; the nearest commit on
    the line that this branch left; the nearest on the branch itself; a commit with the same tree; weakly, the newest
    run of the default branch, and then the newest of all. Runs of this class of machines go before those of others,
    which are named as foreign. A run of uncommitted changes is never chosen. Where nothing is found, the baseline has
    no runs, and a note says what to do; `where` names the store in it. What "auto" would have taken next on the line
    of history comes along as `older`, for measurements that the chosen runs do not have. Raises `StoreError` where the
    store cannot be read.
    """
    stored = store.headers()
    known = [header for header in stored if not header.commit.dirty]
    if wanted != AUTO and Path(wanted).is_file():
        return _from_file(store, Path(wanted), machine, _further(known, machine, set())[:history])
    ours = [header for header in known if header.machine.key == machine.key]
    choices: Iterable[_Choice]
    for group in (ours, [header for header in known if header.machine.key != machine.key]):
        if wanted == AUTO:
            choices = _choices(group, lineage, head)
        else:
            choices, trouble = _named(group, lineage, wanted)
            if trouble and group is not ours:
                return Baseline(notes=(trouble,))
        for choice in choices:
            chosen = _one_class([header for header in group if header.commit.sha == choice.sha], machine)
            # Runs without a commit have nothing in common but that.
            chosen = chosen if choice.sha else chosen[:1]
            runs = store.load(chosen)
            if runs:
                further = _further(known, machine, {header.run_id for header in chosen})[:history]
                older = []
                if wanted == AUTO and group is ours and not choice.weak:
                    older = _older(ours, lineage, head, choice.sha)
                loaded = {run.header.run_id: run for run in store.load(_union(older, further))}
                return Baseline(
                    runs=tuple(runs),
                    history=_those(loaded, further),
                    older=_those(loaded, older),
                    commit=chosen[0].commit,
                    reason=choice.reason,
                    distance=lineage.distance(choice.sha),
                    weak=choice.weak,
                    foreign=differences(chosen[0].machine, machine),
                )
    reason = "" if wanted == AUTO else f"no run of {wanted} is stored in {where or 'the store'}"
    return Baseline(reason=reason, notes=(_nothing(stored, wanted, where),))


def differences(theirs: Machine, ours: Machine) -> tuple[str, ...]:
    """Return in words why times of `theirs` do not compare with those of `ours`, empty where they do."""
    if theirs.key == ours.key:
        return ()
    found: list[str] = []
    if (theirs.implementation, theirs.python) != (ours.implementation, ours.python):
        found.append(
            f"measured with {theirs.implementation} {theirs.python}, this is {ours.implementation} {ours.python}"
        )
    if theirs.label or ours.label:
        if theirs.label != ours.label:
            found.append(f"measured on {_hardware(theirs)}, this is {_hardware(ours)}")
    elif _hardware(theirs) != _hardware(ours):
        found.append(f"measured on {_hardware(theirs)}, this is {_hardware(ours)}")
    return tuple(found)


def _choices(known: Sequence[Header], lineage: Lineage, head: Commit) -> Iterator[_Choice]:
    """Yield what could be the baseline, best first; `known` are clean runs, newest first."""
    if known:
        yield from _before(known, lineage, head)
        yield from _alike(known, head)
        yield from _newest(known, lineage, head)


def _before(known: Sequence[Header], lineage: Lineage, head: Commit) -> Iterator[_Choice]:
    """Yield what lies before the run in the project's history; of the line of the trunk all, of the branch as well."""
    shas = {header.commit.sha for header in known if header.commit.sha}
    # A clean HEAD that has runs is compared with what came before it, not with itself.
    itself = head.sha if not head.dirty else ""
    base = lineage.base()
    if base is not None and base[0].sha in shas - {itself}:
        yield _Choice(sha=base[0].sha, reason=base[1])
    if head.dirty and head.sha in shas:
        yield _Choice(sha=head.sha, reason="HEAD, below uncommitted changes")
    trunk = lineage.trunk()
    line = lineage.ancestors(REACH)
    for place, sha in enumerate(line):
        if sha in shas and sha != itself:
            yield _Choice(sha=sha, reason=_on_line(place, head.sha in line, trunk))
    near = [(distance, sha) for sha in shas if (distance := lineage.distance(sha))]
    for _, sha in sorted(near):
        yield _Choice(sha=sha, reason="nearest ancestor on this branch")


def _older(ours: Sequence[Header], lineage: Lineage, head: Commit, chosen: str) -> list[Header]:
    """Return the runs of the commits before the run other than `chosen`, best first; whole commits, about `OLDER`."""
    found: list[Header] = []
    for sha in dict.fromkeys(choice.sha for choice in _before(ours, lineage, head)):
        runs = [header for header in ours if header.commit.sha == sha != chosen]
        if found and len(found) + len(runs) > OLDER:
            break
        found += runs
    return found


def _union(*groups: Sequence[Header]) -> list[Header]:
    return list({header.run_id: header for group in groups for header in group}.values())


def _those(loaded: Mapping[str, StoredRun], headers: Sequence[Header]) -> tuple[StoredRun, ...]:
    return tuple(loaded[header.run_id] for header in headers if header.run_id in loaded)


def _alike(known: Sequence[Header], head: Commit) -> Iterator[_Choice]:
    if head.tree:
        for header in known:
            if header.commit.tree == head.tree:
                same = header.commit.sha == head.sha
                reason = "the same commit, for want of an earlier one" if same else f"same tree as {head.short}"
                yield _Choice(sha=header.commit.sha, reason=reason)
                break


def _newest(known: Sequence[Header], lineage: Lineage, head: Commit) -> Iterator[_Choice]:
    itself = head.sha if not head.dirty else ""
    trunk = lineage.trunk()
    names = {trunk, trunk.removeprefix("origin/")} - {""}
    for header in known:
        if header.commit.branch in names and header.commit.sha not in ("", itself):
            yield _Choice(sha=header.commit.sha, reason=f"newest run of {trunk}", weak=True)
            break
    # Also what has no commit at all: outside a repository runs are compared with the newest one.
    for header in known:
        if not itself or header.commit.sha != itself:
            yield _Choice(sha=header.commit.sha, reason="newest stored run", weak=True)
            break


def _on_line(place: int, head_is_on_it: bool, trunk: str) -> str:
    origin = "HEAD" if head_is_on_it else f"the merge base with {trunk}"
    if place == 0:
        return origin
    return f"nearest ancestor of {origin}"


def _named(known: Sequence[Header], lineage: Lineage, wanted: str) -> tuple[list[_Choice], Note | None]:
    shas = {header.commit.sha for header in known if header.commit.sha}
    try:
        sha = _sha(lineage, wanted, shas)
    except LineageError as error:
        what, _, remedy = str(error).partition("; ")
        return [], Note(code="no-baseline", message=what, remedy=remedy)
    return ([_Choice(sha=sha, reason=f"{wanted}, as asked for")] if sha in shas else []), None


def _sha(lineage: Lineage, wanted: str, stored: Iterable[str]) -> str:
    """Return the SHA that a revision names; raises `LineageError`."""
    try:
        return lineage.resolve(wanted).sha
    except LineageError:
        # The store may know commits that this clone does not have.
        found = {sha for sha in stored if len(wanted) >= 4 and sha.startswith(wanted.lower())}
        if len(found) != 1:
            raise
        return found.pop()


def _from_file(store: Store, path: Path, machine: Machine, further: Sequence[Header]) -> Baseline:
    try:
        run = load_file(path)
    except StoreError as error:
        what, _, remedy = str(error).rpartition("; ")
        return Baseline(notes=(Note(code="no-baseline", message=what, remedy=remedy),))
    others = [header for header in further if header.run_id != run.header.run_id]
    return Baseline(
        runs=(run,),
        history=tuple(store.load(others)),
        commit=run.header.commit,
        reason=f"the file {path}, as asked for",
        foreign=differences(run.header.machine, machine),
    )


def _one_class(headers: Sequence[Header], machine: Machine) -> list[Header]:
    """Return the runs of the class that is most like `machine`; of equal ones, of that with the newest run."""
    best = min(headers, key=lambda header: _unlikeness(header.machine, machine))
    return [header for header in headers if header.machine.key == best.machine.key]


def _unlikeness(theirs: Machine, ours: Machine) -> tuple[bool, bool, bool]:
    return (
        _hardware(theirs) != _hardware(ours),
        theirs.implementation != ours.implementation,
        theirs.python != ours.python,
    )


def _further(known: Iterable[Header], machine: Machine, chosen: set[str]) -> list[Header]:
    return [header for header in known if header.machine.key == machine.key and header.run_id not in chosen]


def _hardware(machine: Machine) -> str:
    if machine.label:
        return machine.label
    brand = machine.processor or "unknown processor"
    return f"{machine.system} {machine.architecture} with {machine.processors} x {brand}"


def _nothing(stored: Sequence[Header], wanted: str, where: str) -> Note:
    place = f" ({where})" if where else ""
    if wanted != AUTO:
        message = f"the store has no run of {wanted}{place}"
        remedy = f"run `pytest --perfguard-save` on {wanted}"
    elif stored:
        message = f"the store has only runs of uncommitted changes, and none can be a baseline{place}"
        remedy = "run `pytest --perfguard-save` on a commit without changes"
    else:
        message = f"the store has no runs yet{place}"
        remedy = "run `pytest --perfguard-save` on the commit to compare with"
    return Note(code="no-baseline", message=message, remedy=remedy)
