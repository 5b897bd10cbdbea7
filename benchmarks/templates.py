"""A few hundred template tasks of every kind, with how often each kind is met."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from benchmarks.life import RULES, SUBMITTED_AT, Callback, Life, Story, body_of, live, story_of
from benchmarks.patterns import PLACE, Own, Pattern
from receiver.core.task import Task
from receiver.core.task_events import acknowledge
from receiver.simulator.generation import Generation
from receiver.simulator.tracks import MODEL_SLUGS, SONGS, TAGS
from receiver.store import deliveries
from receiver.store.task_rows import new_row

UNFINISHED = 300
SHORTEST_S, LONGEST_S = 2.0, 0.97 * RULES.cadence.give_up_after_s
FAILURES = ("create-task-failed", "generate-audio-failed", "sensitive-word")


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """Generations with these faults; `share` of all tasks in per cent, told by so many templates."""

    faults: Sequence[str] = ()
    share: float
    templates: int = 12
    registered: bool = True


KINDS = (
    Kind(share=67, templates=60),
    Kind(share=5, faults=["callback-doubled"]),
    Kind(share=2.5, faults=["callbacks-reordered"]),
    Kind(share=1, faults=["callback-delayed", "not-yet"]),
    Kind(share=3, templates=20, registered=False),
    Kind(share=6.2, templates=24, faults=["all-callbacks-lost"]),
    Kind(share=4.6, templates=20, faults=["callback-exception"]),
    Kind(share=0.8, faults=["callback-exception-empty"]),
    Kind(share=0.8, faults=["success-without-urls"]),
    Kind(share=0.5, faults=["callback-forged"]),
    Kind(share=0.25, templates=24, faults=["callback-malformed"]),
    Kind(share=2.4, faults=["generate-audio-failed"]),
    Kind(share=1.2, faults=["create-task-failed"]),
    Kind(share=1.7, faults=["sensitive-word"]),
    Kind(share=0.9, faults=["generate-audio-failed", "all-callbacks-lost"]),
    Kind(share=1, templates=6, faults=["stuck"]),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A delivery to fill in: `content` tells which of a task's deliveries say the same."""

    after: timedelta
    columns: Mapping[str, Any]
    content: int
    exact: bool
    body: Pattern | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """A life whose times count from its first sight; `rows` by whether a person has acknowledged it."""

    task: Task
    rows: Mapping[bool, Mapping[str, Any]]
    state: Pattern
    told: Sequence[Told]
    titled: bool
    submitted_before: timedelta
    share: float = 0.0
    age: timedelta = field(default_factory=timedelta)

    @property
    def span(self) -> timedelta:
        """From first sight to the last that happened."""
        ends = [self.task.settled_at or self.task.first_seen_at]
        return max([ends[0] - self.task.first_seen_at, *(one.after for one in self.told)])


def settled_templates(rng: random.Random) -> Iterator[Template]:
    for kind in KINDS:
        for _ in range(kind.templates):
            generation, own = draw_generation(kind.faults, rng)
            life = live(story_of(generation, registered=kind.registered), rng)
            yield _template(life, own, share=kind.share / kind.templates)


def unfinished_templates(rng: random.Random) -> Iterator[Template]:
    """Tasks in progress since seconds or hours, which the upstream left in every status."""
    made = 0
    while made < UNFINISHED:
        age = timedelta(seconds=SHORTEST_S * (LONGEST_S / SHORTEST_S) ** rng.random())
        story, own = _unfinished_story(made, SUBMITTED_AT + age, rng)
        life = live(story, rng) if story.registered or story.callbacks else None
        if life and not life.task.settlement.settled and life.task.first_seen_at < story.until:
            made += 1
            yield _template(life, own, age=story.until - life.task.first_seen_at)


def _unfinished_story(number: int, until: datetime, rng: random.Random) -> tuple[Story, Own]:
    ways: Sequence[tuple[Sequence[str], float, float]] = (
        ([], 20, 170),
        (["stuck"], 0, 60),
        (["callback-exception-empty"], 180, 190),
        (["success-without-urls"], 180, 200),
    )
    if number % 5 == 4:
        return _claimed_failure(FAILURES[number // 5 % 3], until, rng)
    faults, earliest_s, latest_s = ways[number % 5]
    generation, own = draw_generation(faults, rng)
    frozen = SUBMITTED_AT + timedelta(seconds=rng.uniform(earliest_s, latest_s))
    registered = number % 40 != 0
    return story_of(generation, registered=registered, frozen_at=frozen, until=until), own


def _claimed_failure(fault: str, until: datetime, rng: random.Random) -> tuple[Story, Own]:
    """A failure told by a callback in record-info's shape, which record-info does not confirm."""
    generation, own = draw_generation([fault], rng)
    body = body_of(generation.record_info(generation.ends_at + 1))
    at = SUBMITTED_AT + timedelta(seconds=rng.uniform(1, 9))
    silent = story_of(generation, registered=True, frozen_at=SUBMITTED_AT, until=until)
    told = Callback(at=at, body=body)
    return (
        Story(
            task_id=silent.task_id,
            registered=True,
            callbacks=[told],
            record_info=silent.record_info,
            until=until,
        ),
        own,
    )


def draw_generation(faults: Sequence[str], rng: random.Random) -> tuple[Generation, Own]:
    request = {
        "prompt": rng.choice(SONGS).lyrics,
        "style": rng.choice(TAGS),
        "title": PLACE,
        "customMode": True,
        "instrumental": rng.random() < 0.2,
        "model": rng.choice(sorted(MODEL_SLUGS)),
        "negativeTags": "Upbeat Drums",
        "callBackUrl": "https://receiver.example.org/callbacks/[removed]",
    }
    generation = Generation.draw(
        task_id=f"{rng.getrandbits(128):032x}",
        request=request,
        submitted_at=SUBMITTED_AT.timestamp(),
        rng=rng,
        faults=dict.fromkeys(faults, 1.0),
    )
    track_ids = tuple(sorted(track.id for track in generation.plan.tracks))
    task_id = generation.task_id
    return generation, Own(task_id=task_id, track_ids=track_ids, title=PLACE, submitted_at=SUBMITTED_AT)


def _template(life: Life, own: Own, *, share: float = 0.0, age: timedelta = timedelta()) -> Template:
    task = life.task
    rows = {seen: new_row(acknowledge(task) if seen else task) for seen in (False, True)}
    contents: dict[tuple[str, bytes], int] = {}
    return Template(
        task=task,
        rows=rows,
        state=Pattern.of(rows[False]["state"], own),
        told=[_told(one, task, own, contents) for one in life.told],
        titled=any("title" in claims for claims in task.state.tracks.values()),
        submitted_before=task.first_seen_at - SUBMITTED_AT,
        share=share,
        age=age,
    )


def _told(
    one: deliveries.StoredDelivery, task: Task, own: Own, contents: dict[tuple[str, bytes], int]
) -> Told:
    kept = None if one.result == deliveries.DUPLICATE else one.body
    return Told(
        after=one.received_at - task.first_seen_at,
        columns=deliveries.columns_as_read(one) | {"source": one.source},
        content=contents.setdefault((one.source, one.digest), len(contents)),
        exact=one.cause == "not_json" or one.result == "unknown",
        body=None if kept is None else Pattern.of(kept.decode(errors="surrogateescape"), own),
    )
