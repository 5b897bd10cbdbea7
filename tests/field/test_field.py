"""Cases from public reports, documents and client code, each posted to the receiver as it was found.

`callback.body` is what is posted (with `query`, `path_suffix`, `headers`, `encode`), `register` a task registered
before, `record_info` what the upstream answers about it for ever.
"""

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from receiver.app import build_app
from receiver.clock import utc_now
from receiver.intake import Intake
from receiver.polling import Poller
from receiver.runtime import Runtime
from receiver.simulator import Simulator, SimulatorServer
from receiver.upstream.client import UpstreamClient
from tests.clock import Clock
from tests.conftest import API_TOKEN, CALLBACK_TOKEN
from tests.web.admin.page import sign_in

CASES = {path.stem[:2]: json.loads(path.read_bytes()) for path in Path(__file__).parent.glob("*.json")}
BEARER = {"Authorization": f"Bearer {API_TOKEN}"}
URL = f"/callbacks/{CALLBACK_TOKEN}"
AUDIO = "https://cdn.example/1.mp3"
ID = "11111111-aaaa-4bbb-8ccc-000000000001"
DAY_S = 86400


class Field:
    """A receiver and its upstream, in which a case is played."""

    def __init__(self, runtime: Runtime, upstream: Simulator, clock: Clock) -> None:
        self.runtime, self.upstream, self.clock = runtime, upstream, clock
        self.client: FlaskClient = build_app(runtime).test_client()
        settings = runtime.settings
        self.poller = Poller(
            settings=settings,
            database=runtime.database,
            intake=Intake(runtime.database, settings.rules, jitter=lambda: 0.0),
            client=UpstreamClient(
                url=settings.upstream_url,
                api_key=settings.upstream_api_key,
                timeout_s=settings.poll_timeout,
                concurrency=1,
            ),
            name="field",
            clock=lambda _connection: clock(),
            jitter=lambda: 0.0,
        )
        self.clock.now = utc_now()

    def play(self, number: str) -> Any:
        """Register, say what record-info answers, and post the callback; the callback's answer."""
        case = CASES[number]
        if "register" in case:
            self.client.post("/api/tasks", json={"taskId": case["register"]}, headers=BEARER)
        if "record_info" in case:
            text = json.dumps(case["record_info"]).replace("<token>", CALLBACK_TOKEN)
            self.upstream.put(case.get("register", f"f{number}"), json.loads(text))
        return self.post(case["callback"]) if "callback" in case else None

    def post(self, callback: dict[str, Any]) -> Any:
        data = json.dumps(callback["body"]).encode()
        if callback.get("encode") == "gzip":
            data = gzip.compress(data)
        path = URL + callback.get("path_suffix", "")
        answer = self.client.post(
            path, data=data, query_string=callback.get("query"), headers=callback.get("headers", {})
        )
        assert answer.status_code == 200
        return answer.json

    def poll(self, *, after_s: float = 0) -> None:
        self.clock.advance(after_s)
        self.poller.run_once(threading.Event())

    def live_on(self) -> None:
        """Polls until the give-up and past it."""
        for _ in range(8):
            self.poll(after_s=DAY_S / 4)

    def get(self, path: str, **query: str) -> Any:
        return self.client.get(f"/api{path}", query_string=query, headers=BEARER).json

    def task(self, number: str) -> Any:
        return self.get(f"/tasks/f{number}")

    def rows(self, number: str) -> list[tuple[str | None, str | None]]:
        return [(row["id"], row["audioUrl"]) for row in self.task(number)["tracks"]]


@pytest.fixture
def field(new_runtime: Callable[..., Runtime], clock: Clock) -> Iterator[Field]:
    with SimulatorServer(Simulator()) as server:
        yield Field(new_runtime(UPSTREAM_URL=server.url), server.simulator, clock)


@pytest.mark.parametrize(
    ("number", "product"),
    [
        ("01", "voice"),
        ("03", "voice_phrase"),
        ("04", "voice_phrase"),
        ("05", "recovery"),
        ("07", "image"),
        ("09", "image"),
    ],
)
def test_a_sister_products_job_is_known_and_never_a_music_task(
    field: Field, number: str, product: str
) -> None:
    answer = field.play(number)
    assert (answer["result"], answer["product"]) == ("unsupported", product)
    field.live_on()
    assert field.get("/tasks")["tasks"] == []
    stats = field.get("/stats")
    assert stats["tasks"] == dict.fromkeys(stats["tasks"], 0)
    assert (stats["recovered"], stats["lostCallbacks"]) == (0, 0)
    assert stats["deliveries"]["callback"] == {"unsupported": 1}
    assert "poll" not in stats["deliveries"]


def test_11_null_keys_of_a_sister_in_record_info_are_no_marks(field: Field) -> None:
    field.play("11")
    field.poll(after_s=100)
    assert (field.task("11")["outcome"], field.task("11")["polls"]) == ("succeeded", 1)
    assert field.rows("11") == [(ID, AUDIO)]


def test_14_music_beside_a_null_key_of_a_sister_is_music(field: Field) -> None:
    answer = field.play("14")
    assert (answer["result"], answer["status"]) == ("accepted", "SUCCESS")
    assert field.rows("14") == [(ID, AUDIO)]


def test_24_a_source_audio_is_read(field: Field) -> None:
    field.play("24")
    field.poll(after_s=100)
    (track,) = field.task("24")["tracks"]
    assert track["sourceAudioUrl"] == "https://cdn1.suno.ai/x.mp3"


def test_25_an_id_in_another_spelling_is_shown(field: Field) -> None:
    field.play("25")
    field.poll(after_s=100)
    assert field.task("25")["outcome"] == "succeeded"
    assert field.rows("25") == [(ID, AUDIO)]


@pytest.mark.parametrize("number", ["26", "34", "36", "38", "39", "40"])
def test_a_success_in_another_form_is_accepted_with_its_rows(field: Field, number: str) -> None:
    answer = field.play(number)
    assert (answer["result"], answer["status"]) == ("accepted", "SUCCESS")
    assert "errors" not in answer
    assert field.rows(number) == [(ID, AUDIO)]
    assert field.task(number)["errorCode"] is None


def test_28_the_track_of_a_flat_body_is_read(field: Field) -> None:
    assert field.play("28")["result"] == "accepted"
    assert field.rows("28") == [(None, AUDIO)]


def test_29_a_placeholder_is_not_taken_for_music(field: Field) -> None:
    field.play("29")
    field.poll(after_s=100)
    task = field.task("29")
    assert (task["outcome"], task["settled"], task["polls"]) == ("in_progress", False, 1)
    assert task["nextPollAt"]
    assert field.rows("29") == [(ID, None)]


def test_30_a_status_in_small_letters_settles_at_the_first_poll(field: Field) -> None:
    field.play("30")
    field.poll(after_s=100)
    assert (field.task("30")["outcome"], field.task("30")["polls"]) == ("succeeded", 1)


def test_32_a_query_is_kept_shown_and_found_and_names_an_orphan(field: Field) -> None:
    field.play("32")
    assert field.get("/tasks/f32/deliveries")["deliveries"][0]["query"] == "song_id=42&userId=7"
    assert [task["taskId"] for task in field.get("/tasks", q="42")["tasks"]] == ["f32"]
    assert field.task("32")["label"] == "song_id=42&userId=7"


def test_33_an_owners_secret_in_param_is_not_stored(field: Field) -> None:
    field.play("33")
    field.poll(after_s=100)
    shown = json.dumps([field.task("33"), field.get("/tasks/f33/deliveries")])
    assert "song_id=42" in shown
    assert "perSongSecret" not in shown
    assert CALLBACK_TOKEN not in shown
    stored = Path(field.runtime.database.url.database or "")
    stored_bytes = b"".join(path.read_bytes() for path in stored.parent.glob(f"{stored.name}*"))
    assert b"perSongSecret" not in stored_bytes


def test_41_a_large_midi_callback_is_stored(field: Field) -> None:
    number = CASES["41"]["generate"]["midi_notes"]
    notes = [{"pitch": 60, "start": n / 7, "end": str(n / 7), "velocity": 0.7} for n in range(number)]
    data = {"state": "complete", "instruments": [{"name": "Piano", "notes": notes}]}
    answer = field.post({"body": {"code": 200, "msg": "success", "task_id": "f41", "data": data}})
    assert (answer["result"], answer["product"]) == ("unsupported", "midi")


def test_42_a_look_at_the_callback_url_is_answered(field: Field) -> None:
    for method in ("GET", "HEAD"):
        assert field.client.open(URL, method=method).status_code == 200
        assert field.client.open("/callbacks/wrong-token-0000000", method=method).status_code == 404


def test_10_a_failure_without_marks_about_an_unknown_task_ends_quietly(field: Field) -> None:
    field.upstream.put("f10", {"code": 200, "msg": "success", "data": None})
    field.play("10")
    field.live_on()
    task = field.task("10")
    assert (task["outcome"], task["settled"]) == ("unresolved", True)
    stats = field.get("/stats")
    assert (stats["tasks"]["failed"], stats["lostCallbacks"]) == (0, 0)
    sign_in(field.client)
    assert "f10" not in field.client.get("/admin/", query_string={"flag": "problem"}).text


@pytest.mark.parametrize("query", ["", "song_id=42"])
def test_16_a_registered_sister_is_counted_and_ends_when_record_info_would_know_music(
    field: Field, query: str
) -> None:
    CASES["16"]["callback"]["query"] = query
    assert field.play("16")["result"] == "unsupported"
    field.poll(after_s=1)
    assert (field.task("16")["callbacks"], field.task("16")["polls"]) == (1, 1)
    assert field.task("16")["outcome"] == "in_progress"
    for _ in range(5):
        field.poll(after_s=121)
    task = field.task("16")
    assert (task["outcome"], task["confirmed"], task["settled"]) == ("succeeded", False, True)
    field.poll(after_s=DAY_S / 2)
    assert field.task("16") == task, "no longer polled as music"
    field.live_on()
    over = field.task("16")
    asked_once_more = {"polls": task["polls"] + 1, "nextPollAt": None, "lastPolledAt": over["lastPolledAt"]}
    assert over == task | asked_once_more
    assert field.get("/stats")["lostCallbacks"] == 0


def test_16_a_forged_callback_of_a_sister_ends_no_music_task(field: Field) -> None:
    music = json.loads(json.dumps(CASES["30"]["record_info"]).replace("f30", "f16"))
    field.play("16")
    field.upstream.put("f16", music | {"data": music["data"] | {"status": "PENDING", "response": None}})
    field.poll(after_s=1)
    assert (field.task("16")["outcome"], field.task("16")["status"]) == ("in_progress", "PENDING")
    field.upstream.put("f16", music)
    field.poll(after_s=DAY_S / 2)
    assert field.task("16")["outcome"] == "succeeded"
    assert field.rows("16") == [(ID, AUDIO)]


def test_16_a_sister_that_is_registered_after_its_callback_ends_the_same(field: Field) -> None:
    field.upstream.put("f16", CASES["16"]["record_info"])
    field.post(CASES["16"]["callback"])
    field.client.post("/api/tasks", json={"taskId": "f16"}, headers=BEARER)
    field.poll(after_s=1)
    assert (field.task("16")["callbacks"], field.task("16")["polls"]) == (1, 1)
    for _ in range(5):
        field.poll(after_s=121)
    assert field.task("16")["outcome"] == "succeeded"
