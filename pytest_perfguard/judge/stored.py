"""Stored runs against stored runs, with the same decisions as in a run of pytest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pytest_perfguard.judge.bases import by_key
from pytest_perfguard.judge.noise import learn
from pytest_perfguard.judge.policy import Policy
from pytest_perfguard.judge.regression import Against, compare_metric
from pytest_perfguard.model.baseline import StoredRun
from pytest_perfguard.model.metric import BUILTIN
from pytest_perfguard.model.verdict import Verdict


def judge_stored(
    base: Sequence[StoredRun], head: Sequence[StoredRun], policy: Policy | None = None
) -> tuple[Verdict, ...]:
    """Return the verdicts on the runs `head` against the runs `base`, by measurement and metric; never more than these.

    The chance of a false alarm is shared among the tests of `head`, whatever `policy` says of their number.
    """
    heads, bases = by_key(head), by_key(base)
    comparisons = Counter(key.test for key in heads)
    policy = (policy or Policy()).of(len(comparisons))
    metrics = {metric.name: metric for run in (*base, *head) for metric in run.header.metrics} or dict(BUILTIN)
    noise = learn((*head, *base), metrics.values())
    against = Against(words=base[0].header.commit.short if base else "")
    return tuple(
        compare_metric(
            metrics[name],
            [record for record in records if record.get(name) is not None],
            bases.get(key, []),
            against=against,
            noise=noise,
            policy=policy,
            comparisons=comparisons[key.test],
        )
        for key, records in sorted(heads.items())
        for name in sorted({summary.metric for record in records for summary in record.summaries})
        if name in metrics and metrics[name].compared
    )
