"""What is known of each trial while a session runs: kept up to date, never recomputed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from collect.account import STATES, State, TrialState
from collect.cells import TrialRecord


class TrialBook:
    """The trials of a run.

    Args:
        trials: as the ledger has them.

    Attributes:
        attempts: trial id to the number of its last attempt.
        used: trial id to how many attempts count against `max_attempts`.
        pending_of: cell id to how many of its trials are pending.
    """

    def __init__(self, trials: Sequence[TrialState]) -> None:
        self.attempts = {one.trial.trial_id: _last(one) for one in trials}
        self.used = {one.trial.trial_id: one.used for one in trials}
        self._state = {one.trial.trial_id: one.state for one in trials}
        self._counts = Counter(one.state for one in trials)
        self.pending_of = Counter(one.trial.cell_id for one in trials if one.state == "pending")

    def state(self, trial_id: str) -> State:
        """done, failed, unavailable or pending."""
        return self._state[trial_id]

    def settle(self, trial: TrialRecord, state: State) -> None:
        """A pending trial is done, or has failed."""
        self._counts[self._state[trial.trial_id]] -= 1
        self._counts[state] += 1
        self.pending_of[trial.cell_id] -= 1
        self._state[trial.trial_id] = state

    def plan(self, trials: Sequence[TrialRecord]) -> None:
        """Trials were added to the plan; they are pending."""
        for trial in trials:
            self.attempts[trial.trial_id] = self.used[trial.trial_id] = 0
            self._state[trial.trial_id] = "pending"
        self._counts["pending"] += len(trials)
        self.pending_of.update(trial.cell_id for trial in trials)

    def learn(
        self,
        before: Sequence[TrialRecord],
        now: Sequence[TrialRecord],
        impossible: Collection[str],
    ) -> None:
        """More is known of the run: what its trials are called, and which cells cannot run.

        Args:
            before: all trials so far.
            now: the same ones, in the same order.
            impossible: ids of cells that cannot run.
        """
        names = [(old.trial_id, new.trial_id) for old, new in zip(before, now, strict=True)]
        self.attempts = {new: self.attempts[old] for old, new in names}
        self.used = {new: self.used[old] for old, new in names}
        states = {new: self._state[old] for old, new in names}
        for trial in now:
            if states[trial.trial_id] in ("pending", "unavailable"):
                can_run = trial.cell_id not in impossible
                states[trial.trial_id] = "pending" if can_run else "unavailable"
        self._state = states
        self._counts = Counter(states.values())
        self.pending_of = Counter(
            trial.cell_id for trial in now if states[trial.trial_id] == "pending"
        )

    def counts(self) -> dict[str, int]:
        """planned, done, failed, unavailable, pending."""
        return {"planned": len(self._state), **{state: self._counts[state] for state in STATES}}


def _last(state: TrialState) -> int:
    """Number of the last attempt; one that was deleted leaves a gap and its number."""
    return max((attempt.attempt for attempt in state.attempts), default=0)
