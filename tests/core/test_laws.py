"""The laws of the pure core: order, repetition and arrival cannot matter."""

from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.core.observation import (
    DETAIL_FIELDS,
    TRACK_FIELDS,
    URL_FIELDS,
    Observation,
    Source,
    Status,
    Track,
    UnsupportedEnd,
)
from receiver.core.problem import find_problem
from receiver.core.reconciliation import TaskState, join, reconcile
from receiver.core.settlement import Outcome, is_urgent, settle
from receiver.core.state_json import dump_state, load_state

from .builders import (
    ALWAYS,
    FAILURES,
    SUSPECT,
    TASK_ID,
    callback,
    every_settlement,
    poll,
    ready,
    started,
    state_after,
)

law = settings(max_examples=20, deadline=None, derandomize=True)

IDS = ("a", "b", "c")
URLS = (None, "https://cdn.example/1.mp3", "https://cdn.example/2.mp3")
WORDS = tuple(map(str, (*Status, "", "GENERATING", "FAILED", "MYSTERY", "ALIEN", "success")))
VALUES = ("x", "y", "1", 1, 1.0, 2, 0.5)


def some_of(names):
    """Objects with none, one, or two of these fields, each with any of the values."""
    single = [{name: value} for name, value in product(names, VALUES)]
    return [{}, *single, *({**a, **b} for a, b in zip(single, single[len(VALUES) + 1 :], strict=False))]


# A row: its id or none, its audio or none, and some other fields. Few draws make a law cheap to try.
ROWS = st.tuples(
    st.sampled_from(list(product((*IDS, None), URLS))),
    st.sampled_from(some_of([name for name in TRACK_FIELDS if name not in ("id", "audioUrl")])),
)


def track(place, row):
    (name, url), others = row
    key = f"#{place}" if name is None else f"id:{name}"
    history = {"id": name, "audioUrl": url}
    return Track(key=key, fields={key: value for key, value in history.items() if value is not None} | others)


def observation(who_and_what, rows, details):
    source, status = who_and_what
    tracks = tuple(track(place, row) for place, row in enumerate(rows))
    return Observation(task_id=TASK_ID, source=source, status=status, tracks=tracks, details=details)


def observations(sources=tuple(Source)):
    return st.builds(
        observation,
        st.sampled_from(list(product(sources, WORDS))),
        st.lists(ROWS, max_size=3),
        st.sampled_from(some_of(DETAIL_FIELDS)),
    )


@st.composite
def final_answers(draw):
    """What record-info says of a task that is over, every track of it playable."""
    names = draw(st.lists(st.sampled_from((*IDS, "#0", "#1")), min_size=1, max_size=3, unique=True))
    return poll(
        draw(st.sampled_from(("SUCCESS", "CALLBACK_EXCEPTION"))),
        *(ready(name) for name in names),
        **draw(st.sampled_from(some_of(DETAIL_FIELDS))),
    )


states = st.lists(observations(), max_size=4).map(lambda history: state_after(*history))


@law
@given(states, states)
def test_joining_is_commutative(a, b):
    assert join(a, b) == join(b, a)


@law
@given(states, states, states)
def test_joining_is_associative(a, b, c):
    assert join(join(a, b), c) == join(a, join(b, c))


@law
@given(states)
def test_joining_is_idempotent(a):
    assert join(a, a) == a


@law
@given(states)
def test_nothing_known_adds_nothing(a):
    assert join(a, TaskState()) == a == join(TaskState(), a)


@law
@given(observations())
def test_reconciling_nothing_known_with_an_observation_knows_just_that_observation(another):
    assert reconcile(TaskState(), another) == TaskState.of(another)


@law
@given(states, observations())
def test_reconciling_is_joining_the_state_of_one_observation(state, another):
    assert reconcile(state, another) == join(state, TaskState.of(another))


@law
@given(states, observations())
def test_an_observation_that_is_known_changes_nothing(state, another):
    after = reconcile(state, another)
    assert reconcile(after, another) == after


@law
@given(states, observations())
def test_a_status_is_never_lowered(state, another):
    assert reconcile(state, another).highest_claim >= state.highest_claim


@law
@given(st.data(), st.lists(observations(), min_size=1, max_size=5))
def test_any_order_with_any_repetition_gives_the_same_state_and_the_same_verdicts(data, history):
    repeated = history + data.draw(st.lists(st.sampled_from(history), max_size=4), label="repeated")
    shuffled = data.draw(st.permutations(repeated), label="arrival")
    state, other = state_after(*history), state_after(*shuffled)
    assert other == state
    assert dump_state(other) == dump_state(state)
    assert every_settlement(other) == every_settlement(state)
    assert shown(other) == shown(state)
    assert (other.conflict, other.playable, other.status) == (
        state.conflict,
        state.playable,
        state.status,
    )


@law
@given(st.lists(observations(), min_size=2, max_size=6), st.integers(0, 6))
def test_joining_two_halves_equals_telling_everything_to_one(history, cut):
    assert join(state_after(*history[:cut]), state_after(*history[cut:])) == state_after(*history)


@law
@given(states)
def test_a_state_survives_its_document(state):
    loaded = load_state(dump_state(state))
    assert loaded == state
    assert dump_state(loaded) == dump_state(state)
    assert every_settlement(loaded) == every_settlement(state)


@law
@given(states, states)
def test_joining_loaded_documents_is_joining_the_states(a, b):
    assert join(load_state(dump_state(a)), load_state(dump_state(b))) == join(a, b)


def shown(state, but=()):
    """What a person is shown: values by track and field, with and without disputed URLs, and the task's own.

    `but` are (track, field) that are left out of it.
    """
    ways = [state.tracks_to_show(with_disputed=disputed) for disputed in (False, True)]
    tracks = [
        {
            key: {name: claim.value for name, claim in claims.items() if (key, name) not in but}
            for key, claims in way.items()
        }
        for way in ways
    ]
    details = {name: claim.value for name, claim in state.visible_details.items()}
    status = state.status
    return tracks, details, status.word, status.confirmed, state.confirmed, state.count_playable()


def fields_claims_may_fill(final):
    """All that claims may add to what record-info reported of a task that is over: what it left out of a track, but URLs."""
    names = [name for name in TRACK_FIELDS if name not in URL_FIELDS]
    return {(track.key, name) for track in final.tracks for name in names if name not in track.fields}


def assert_claims_change_nothing(final, observations):
    """Of a task that is over by record-info's answer; that reports contradict each other is shown, too."""
    alone, state = state_after(final), state_after(*observations)
    assert shown(state, but=fields_claims_may_fill(final)) == shown(alone)
    for settlement, before in zip(every_settlement(state), every_settlement(alone), strict=True):
        assert settlement.outcome == before.outcome
        assert is_urgent(state, settlement.outcome) == is_urgent(alone, before.outcome)
        assert find_problem(state, settlement.outcome, registered=True) is None


def callback_of_unsupported_job(end):
    return Observation(task_id=TASK_ID, source=Source.CALLBACK, unsupported_end=end)


HOSTILE_URLS = tuple(f"https://{host}.example/1.mp3" for host in ("0", "evil", "zzz"))
HOSTILE = st.builds(
    lambda status, rows, details: callback(status, *rows, **details),
    st.sampled_from(WORDS),
    st.lists(
        st.builds(
            lambda name, fields: Track(
                key=name if name.startswith("#") else f"id:{name}",
                fields=fields if name.startswith("#") else {"id": name, **fields},
            ),
            st.sampled_from((*IDS, "#0", "evil")),
            st.dictionaries(
                st.sampled_from([name for name in TRACK_FIELDS if name != "id"]),
                st.sampled_from(HOSTILE_URLS),
                max_size=4,
            ),
        ),
        max_size=3,
    ),
    st.sampled_from(
        ({}, {"errorCode": 501, "errorMessage": "forged"}, *({name: "forged"} for name in DETAIL_FIELDS))
    ),
) | st.sampled_from([callback_of_unsupported_job(end) for end in UnsupportedEnd])


@law
@given(st.data(), final_answers(), st.lists(HOSTILE, max_size=5))
def test_what_is_shown_of_a_confirmed_success_does_not_depend_on_any_claim(data, final, claims):
    history = data.draw(st.permutations([final, *claims]), label="arrival")
    assert_claims_change_nothing(final, history)


@law
@given(
    st.data(),
    st.sampled_from(FAILURES),
    st.lists(st.sampled_from((ready("a"), started("b"))), max_size=2),
    st.lists(HOSTILE, max_size=5),
)
def test_what_is_shown_of_a_confirmed_failure_does_not_depend_on_any_claim(data, failure, rows, claims):
    final = poll(failure, *rows, errorCode=413)
    history = data.draw(st.permutations([final, *claims]), label="arrival")
    assert_claims_change_nothing(final, history)
    assert {v.outcome for v in every_settlement(state_after(*history))} == {Outcome.FAILED}


@law
@given(st.data(), st.lists(HOSTILE, max_size=4), st.booleans())
def test_a_claim_never_rewrites_what_settled(data, others, early):
    """Under `suspect` a success that callbacks settled is shown as it was, or is not settled any more."""
    names = data.draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=2, unique=True))
    success = callback("SUCCESS", *(ready(name, title="Song") for name in names))
    settled = state_after(callback("TEXT_SUCCESS"), success) if early else state_after(success)
    assert settle(settled, registered=True, gave_up=False, policy=SUSPECT).outcome is Outcome.SUCCEEDED
    state = settled
    for other in others:
        state = reconcile(state, other)
        settlement = settle(state, registered=True, gave_up=False, policy=SUSPECT)
        if settlement.settled:
            assert urls_and_titles(state) == urls_and_titles(settled)
        else:
            assert is_urgent(state, settlement.outcome)


def urls_and_titles(state):
    return {
        key: {name: claim.value for name, claim in claims.items() if name in URL_FIELDS | {"title"}}
        for key, claims in state.tracks_to_show(with_disputed=True).items()
    }


@law
@given(st.lists(HOSTILE, min_size=1, max_size=5), st.sampled_from((SUSPECT, ALWAYS)), st.booleans())
def test_claims_about_a_task_that_nobody_registered_never_settle_it(claims, policy, gave_up):
    settlement = settle(state_after(*claims), registered=False, gave_up=gave_up, policy=policy)
    assert settlement.outcome is (Outcome.UNRESOLVED if gave_up else Outcome.IN_PROGRESS)
    assert not settlement.recovered


@law
@given(st.lists(HOSTILE, min_size=1, max_size=5), st.booleans())
def test_claims_never_settle_a_task_where_all_must_be_confirmed(claims, registered):
    settlement = settle(state_after(*claims), registered=registered, gave_up=True, policy=ALWAYS)
    assert settlement.outcome is Outcome.UNRESOLVED


@law
@given(st.data(), final_answers(), st.lists(observations(), max_size=5))
def test_a_confirmed_success_with_playable_tracks_is_never_left_whatever_else_is_reported(
    data, final, others
):
    history = data.draw(st.permutations([final, *others]), label="arrival")
    state = state_after(*history)
    assert state.status.word == Status.SUCCESS
    assert state.status.confirmed
    assert {settlement.outcome for settlement in every_settlement(state)} == {Outcome.SUCCEEDED}


@law
@given(st.lists(observations(sources=(Source.CALLBACK,)), max_size=5), st.sampled_from(FAILURES))
def test_a_confirmed_failure_is_not_left_for_anything_a_callback_says(claims, failure):
    state = state_after(poll(failure), *claims)
    assert state.status.word == failure
    assert {settlement.outcome for settlement in every_settlement(state)} == {Outcome.FAILED}


@law
@given(states)
def test_giving_up_settles_every_task(state):
    assert all(settlement.settled for settlement in every_settlement(state)[1::2])


@law
@given(states)
def test_giving_up_leaves_a_settled_task_as_it_ended(state):
    verdicts = every_settlement(state)
    for before, after in zip(verdicts[::2], verdicts[1::2], strict=True):
        assert not before.settled or before == after


@law
@given(states)
def test_only_an_unsettled_task_is_urgent(state):
    assert not any(
        is_urgent(state, verdict.outcome) and verdict.settled for verdict in every_settlement(state)
    )


# The order of statuses, lowest first, and the sources that may report each.
BOTH, CLAIMED, CONFIRMED = (callback, poll), (callback,), (poll,)
LADDER = [
    ("", BOTH),
    ("MYSTERY", BOTH),
    ("PENDING", BOTH),
    ("TEXT_SUCCESS", BOTH),
    ("FIRST_SUCCESS", BOTH),
    ("CALLBACK_EXCEPTION", BOTH),
    ("GENERATE_AUDIO_FAILED", CLAIMED),
    ("CREATE_TASK_FAILED", CLAIMED),
    ("SENSITIVE_WORD_ERROR", CLAIMED),
    ("SUCCESS", CLAIMED),
    ("GENERATE_AUDIO_FAILED", CONFIRMED),
    ("CREATE_TASK_FAILED", CONFIRMED),
    ("SENSITIVE_WORD_ERROR", CONFIRMED),
    ("SUCCESS", CONFIRMED),
]


@pytest.mark.parametrize("place", range(1, len(LADDER)), ids=lambda place: LADDER[place][0])
def test_the_higher_status_wins_in_either_order(place):
    (higher_word, higher_sources), lower_rungs = LADDER[place], LADDER[:place]
    for lower_word, lower_sources in lower_rungs:
        for lower_of, higher_of in product(lower_sources, higher_sources):
            lower, higher = lower_of(lower_word), higher_of(higher_word)
            for order in permutations((lower, higher)):
                claim = state_after(*order).status
                assert (claim.word, claim.confirmed) == (higher.status, higher.source is Source.POLL), lower


def test_every_documented_status_has_its_place_in_the_table():
    assert {word for word, _ in LADDER} >= set(Status)


def test_every_order_and_doubling_of_a_whole_life_ends_in_one_state():
    life = (
        callback("TEXT_SUCCESS", started("a"), started("b")),
        callback("FIRST_SUCCESS", ready("a"), started("b")),
        callback("SUCCESS", ready("a"), ready("b")),
        poll("FIRST_SUCCESS", ready("a", title="Song"), started("b")),
        poll("CALLBACK_EXCEPTION", ready("a"), ready("b")),
    )
    ends = {dump_state(state_after(*order, *order[:2])) for order in permutations(life)}
    assert len(ends) == 1
