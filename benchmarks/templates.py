"""A few hundred tasks, bodies and actions, of which a seeded database holds copies.

Each is made by the product's own operations in a scratch database, and its rows there get the template's number.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from benchmarks.generations import LABEL, SOMEBODY, draw_generation, play
from receiver.core.results import DeliveryResult
from receiver.intake import callback_delivery
from receiver.operations import acknowledge_task
from receiver.runtime import Runtime
from receiver.store import quarantine
from receiver.store.hourly_counts import hour_of
from receiver.store.quarantine import QuarantineFilter

OLDEST_H = 27  # the templates of settled tasks start so long ago: a stuck task is given up after a day
IN_PROGRESS = 100
SHORTEST_S, LONGEST_S = 2.0, 0.97 * 86400
VOCABULARY = (
    (
        "Midnight Golden Silent Paper Velvet Copper Northern Broken Crystal Hollow Summer Winter Neon",
        "Rain River Lights Harbour Train Garden Letters Moon Avenue Lanterns Echo Horizon Carousel Orchard",
    ),
    ("Северный Тихий Последний Медленный Ночной Старый", "ветер снегопад поезд рассвет маяк вальс"),
    ("月光下的 雨夜的 山间的", "小河 来信 晨雾 纸船 灯"),
    ("ليل نسيم قمر", "المدينة الصباح الماء البحر"),
    ("Été Café Nächte Żółte Déjà", "Valparaíso orilla Süden światła vu"),
)
COMMON, RARE = "Midnight Rain", "Quetzalcoatl"
BROKEN_BODIES = (
    "<html><body><h1>502 Bad Gateway</h1><p>{id}</p></body></html>",
    '{"code":200,"msg":"All generated successfully.","data":{"callbackType":"complete","x":"{id}',
    "status=ok&id={id}",
    '{"code":200,"msg":"ok","data":{"callbackType":"complete","data":[{"id":"{id}"}]}}',
    '[{"audio_url":"https://files.simulator.example/{id}.mp3"}]',
    '{"code":501,"msg":"failed {id}","data":null}',
)
TAGGED = ("task", "delivery", "action")
PREPARE = (
    *(f"ALTER TABLE {table} ADD COLUMN template INTEGER" for table in TAGGED),
    "CREATE TABLE counted AS SELECT 0 AS template, * FROM tally WHERE 0",
)
RECORD = (
    *(f"UPDATE {table} SET template = :number WHERE template IS NULL" for table in TAGGED),  # noqa: S608
    "INSERT INTO counted SELECT :number, * FROM tally",
    # The poller counts its calls, and here is none.
    """INSERT INTO counted SELECT :number, 'call', hour, 'answered', sum(count) FROM tally
    WHERE subject = 'poll' GROUP BY hour""",
    "DELETE FROM tally",
)
UNSUPPORTED = (
    '{"code":200,"msg":"success","data":{"task_id":"{id}","audioWavUrl":"https://x.example/{id}.wav"}}'
)
# By which faults, and after how many seconds the upstream becomes silent about a task.
SILENT: tuple[tuple[tuple[str, ...], float, float], ...] = (
    ((), 20, 140),
    (("stuck",), 0, 60),
    (("callback-exception-empty",), 125, 140),
    (("callback-malformed",), 30, 140),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskKind:
    """Tasks with these faults: their share of all tasks in percent, and by how many templates they are shown."""

    share: float
    templates: int = 12
    faults: tuple[str, ...] = ()
    registered: bool = True
    title: str | None = None


KINDS = (
    TaskKind(share=67, templates=60),
    TaskKind(share=5, faults=("callback-doubled",), title=COMMON),
    TaskKind(share=2.5, faults=("callbacks-reordered",)),
    TaskKind(share=1, faults=("callback-delayed", "not-yet")),
    TaskKind(share=3, templates=20, registered=False),
    TaskKind(share=6.2, templates=24, faults=("all-callbacks-lost",)),
    TaskKind(share=4.6, templates=20, faults=("callback-exception",)),
    TaskKind(share=0.8, faults=("callback-exception-empty",)),
    TaskKind(share=0.8, faults=("success-without-urls",)),
    TaskKind(share=0.5, faults=("callback-forged",)),
    TaskKind(share=0.25, templates=24, faults=("callback-malformed",)),
    TaskKind(share=2.4, faults=("generate-audio-failed",)),
    TaskKind(share=1.2, faults=("create-task-failed",)),
    TaskKind(share=1.7, faults=("sensitive-word",)),
    TaskKind(share=0.9, faults=("generate-audio-failed", "all-callbacks-lost")),
    TaskKind(share=1, templates=6, faults=("stuck",)),
    TaskKind(share=0.01, templates=1, title=RARE),
)
OPEN_PROBLEMS = (TaskKind(share=0, faults=("stuck",)), TaskKind(share=0, faults=("callback-forged",)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """`weight`: how often it is copied to the past, once it has ended; `present`: how often to where it is.

    `task_id` is the text in its rows that each copy has an own one of.
    """

    number: int
    task_id: str
    starts_at: datetime
    ends_at: datetime
    weight: float = 0
    present: int = 0
    has_task: bool = False
    deliveries: int = 0


class Templates:
    """Makes all of them in `runtime`'s database."""

    def __init__(self, runtime: Runtime, *, now: datetime, rng: random.Random) -> None:
        self._runtime, self._now, self._rng = runtime, now, rng
        self._made = 0
        with runtime.database.write() as connection:
            for statement in PREPARE:
                connection.execute(text(statement))

    def make_all(self) -> Iterator[Template]:
        for kind in KINDS:
            for _ in range(kind.templates):
                yield self._settled(kind, weight=kind.share / kind.templates)
        for kind in OPEN_PROBLEMS:
            yield self._settled(kind, present=12)
        for number in range(IN_PROGRESS):
            yield self._in_progress(number)
        for body in BROKEN_BODIES:
            yield self._quarantined(body, weight=1)
            yield self._quarantined(body, present=30)
        yield self._quarantined(UNSUPPORTED, weight=2)

    def _settled(self, kind: TaskKind, *, weight: float = 0, present: int = 0) -> Template:
        """A task that went to its end; a person has seen the problems of the past."""
        start, title = self._long_ago(), kind.title or self._title()
        generation = draw_generation(start, self._rng, title=title, faults=kind.faults)
        label = LABEL if self._rng.random() < 1 / 3 else None
        end = play(self._runtime, generation, self._rng, label=label, registered=kind.registered)
        if weight:
            end += timedelta(minutes=10)
            acknowledge_task(self._runtime, generation.task_id, now=end, actor=SOMEBODY)
        return self._record(generation.task_id, start, end, weight=weight, present=present)

    def _in_progress(self, number: int) -> Template:
        """Since seconds or hours; the upstream became silent in any status."""
        age = timedelta(seconds=SHORTEST_S * (LONGEST_S / SHORTEST_S) ** self._rng.random())
        start = self._now - age
        faults, *silent_after_s = SILENT[number % len(SILENT)]
        generation = draw_generation(start, self._rng, title=self._title(), faults=faults)
        silent_from = start + timedelta(seconds=self._rng.uniform(*silent_after_s))
        play(self._runtime, generation, self._rng, silent_from=silent_from, until=self._now)
        return self._record(generation.task_id, start, self._now, present=20)

    def _quarantined(self, body: str, *, weight: float = 0, present: int = 0) -> Template:
        """A body that names no task of ours; a person has seen those of the past."""
        start = self._long_ago() if weight else self._now - timedelta(minutes=self._rng.uniform(1, 600))
        marker = self._marker()
        delivery = callback_delivery(body.replace("{id}", marker).encode(), now=start, secrets=())
        [stored] = self._runtime.intake.accept([delivery])
        end = start + timedelta(hours=1)
        if weight and stored.result is DeliveryResult.QUARANTINED:
            with self._runtime.database.write() as connection:
                ids = quarantine.newest_ids(connection, QuarantineFilter(), limit=1)
                quarantine.acknowledge(connection, ids, now=end)
        return self._record(marker, start, end, weight=weight, present=present)

    def _long_ago(self) -> datetime:
        first = hour_of(self._now) - timedelta(hours=OLDEST_H)
        return first + timedelta(seconds=self._rng.uniform(0, 3600))

    def _title(self) -> str:
        firsts, lasts = self._rng.choices(VOCABULARY, (55, 20, 8, 5, 7))[0]
        return f"{self._rng.choice(firsts.split())} {self._rng.choice(lasts.split())}"

    def _marker(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    def _record(
        self, task_id: str, start: datetime, end: datetime, *, weight: float = 0, present: int = 0
    ) -> Template:
        """All that was stored since the last call, as one template."""
        self._runtime.intake.flush_counts()
        self._made += 1
        with self._runtime.database.write() as connection:
            rows = [
                connection.execute(text(statement), {"number": self._made}).rowcount for statement in RECORD
            ]
        return Template(
            number=self._made,
            task_id=task_id,
            starts_at=start,
            ends_at=end,
            weight=weight,
            present=present,
            has_task=rows[0] > 0,
            deliveries=rows[1],
        )
