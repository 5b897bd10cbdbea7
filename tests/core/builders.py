"""Short ways to say what was delivered, so that a test reads as its sentence."""

from itertools import product

from receiver.core.observation import Observation, Scalar, Source, Track
from receiver.core.reconciliation import TaskState, reconcile
from receiver.core.settlement import Confirm, Outcome, Policy, Settlement, is_urgent, settle

TASK_ID = "2fac****9f72"
FAILURES = ("GENERATE_AUDIO_FAILED", "CREATE_TASK_FAILED", "SENSITIVE_WORD_ERROR")

NEVER = Policy(confirm=Confirm.NEVER)
SUSPECT = Policy(confirm=Confirm.SUSPECT)
ALWAYS = Policy(confirm=Confirm.ALWAYS)
WITHOUT_KEY = Policy(confirm=Confirm.ALWAYS, can_confirm=False)
POLICIES = tuple(
    Policy(confirm=confirm, can_confirm=able) for confirm, able in product(Confirm, (True, False))
)


def ready(name: str, **fields: Scalar) -> Track:
    """A row with an `audioUrl`; without an id where the name is a place such as `#0`."""
    return started(name, audioUrl=f"https://cdn.example/{name.strip('#')}.mp3", **fields)


def started(name: str, **fields: Scalar) -> Track:
    """A row that nobody can play yet."""
    if name.startswith("#"):
        return Track(key=name, fields={"title": "Song", **fields})
    return Track(key=f"id:{name}", fields={"id": name, **fields})


def callback(status: str = "", *tracks: Track, **details: Scalar) -> Observation:
    return Observation(task_id=TASK_ID, source=Source.CALLBACK, status=status, tracks=tracks, details=details)


def poll(status: str = "", *tracks: Track, **details: Scalar) -> Observation:
    return Observation(task_id=TASK_ID, source=Source.POLL, status=status, tracks=tracks, details=details)


def state_after(*observations: Observation) -> TaskState:
    state = TaskState()
    for observation in observations:
        state = reconcile(state, observation)
    return state


def settlement_of(
    *observations: Observation, policy: Policy = SUSPECT, registered: bool = True, gave_up: bool = False
) -> Settlement:
    return settle(state_after(*observations), registered=registered, gave_up=gave_up, policy=policy)


def is_urgent_after(*observations: Observation, policy: Policy = SUSPECT, registered: bool = True) -> bool:
    outcome = settlement_of(*observations, policy=policy, registered=registered).outcome
    return is_urgent(state_after(*observations), outcome)


def outcome_of(
    *observations: Observation, policy: Policy = SUSPECT, registered: bool = True, gave_up: bool = False
) -> Outcome:
    return settlement_of(*observations, policy=policy, registered=registered, gave_up=gave_up).outcome


def every_settlement(state: TaskState) -> list[Settlement]:
    """The verdicts under every policy, registered or an orphan, before and after giving up."""
    return [
        settle(state, registered=registered, gave_up=gave_up, policy=policy)
        for policy, registered, gave_up in product(POLICIES, (True, False), (False, True))
    ]
