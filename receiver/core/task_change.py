"""What a step changed in a task, as short texts for its timeline."""

from collections.abc import Mapping

from receiver.core.task import Task

TaskChange = Mapping[str, tuple[str, str]]
"""Before and after of what changed, by name: `{"status": ("TEXT_SUCCESS", "SUCCESS")}`."""


def find_change(before: Task, after: Task) -> TaskChange:
    """Empty where the reconciled state stayed as it was."""
    if before.version == after.version:
        return {}
    old, new = _described(before), _described(after)
    return {name: (old[name], new[name]) for name in old if old[name] != new[name]}


def _described(task: Task) -> dict[str, str]:
    state = task.state
    status = state.status
    return {
        "status": status.word,
        "confirmed": "yes" if state.confirmed else "no",
        "ready": f"{state.count_playable()}/{len(state.visible_tracks)}",
        "outcome": task.settlement.outcome,
        "conflict": "yes" if state.conflict else "no",
        "version": str(task.version),
    }
