from __future__ import annotations

import io
import unicodedata
import wave
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

import pytest
import requests

from receiver.simulator import Simulator, SimulatorServer
from receiver.simulator.media import FILES
from receiver.simulator.repertoire import SONGS, Song

REQUEST = {"callBackUrl": "http://127.0.0.1:9/callbacks/token", "model": "V5", "prompt": "rain"}
NO_CALLBACKS = {"all-callbacks-lost": 1.0}
AUDIO = ["audioUrl", "sourceAudioUrl", "streamAudioUrl", "sourceStreamAudioUrl"]
IMAGES = ["imageUrl", "sourceImageUrl"]


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(Simulator(faults=NO_CALLBACKS)) as running:
        yield running


def call(url: str, method: str = "GET", **headers: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, headers=headers, timeout=10)


def submit(base_url: str, **wanted: object) -> Any:
    """The true rows of a generation that was submitted over HTTP."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(f"{base_url}/api/v1/generate", json=REQUEST | wanted, timeout=10)
        task_id = answer.json()["data"]["taskId"]
        return session.get(f"{base_url}/simulator/tasks/{task_id}", timeout=10).json()["tracks"]


def rows_without_server(seed: int, **wanted: object) -> Any:
    simulator = Simulator(seed=seed, faults=NO_CALLBACKS)
    truth = simulator.truth(simulator.submit(REQUEST | wanted))
    return truth and truth["tracks"]


def test_the_six_addresses_of_a_row_differ_and_lead_to_the_server(server: SimulatorServer) -> None:
    for row in submit(server.url):
        urls = [row[field] for field in FILES]
        assert len(set(urls)) == 6
        assert all(url.startswith(f"{server.url}/files/{row['id']}/") for url in urls)


def test_a_caller_gets_addresses_on_the_host_by_which_it_came() -> None:
    with SimulatorServer(Simulator(faults=NO_CALLBACKS), host="0.0.0.0") as server:
        base_url = f"http://localhost:{server.port}"
        row = submit(base_url)[0]
        assert row["imageUrl"].startswith(f"{base_url}/files/")
        assert call(row["imageUrl"]).ok


def test_without_a_server_the_addresses_are_those_of_an_example() -> None:
    row = rows_without_server(seed=1)[0]
    assert all(".simulator.example/" in row[field] for field in FILES)


def test_what_is_asked_and_what_is_called_back_lead_to_the_same_files() -> None:
    simulator = Simulator()
    generation = simulator.generation(simulator.submit(REQUEST, "http://files.test"))
    assert generation is not None
    complete = generation.callbacks()[-1].body.decode()
    told: Any = generation.truth()["tracks"]
    assert told[0]["audioUrl"].startswith("http://files.test/")
    assert all(row[field] in complete for row in told for field in FILES)


@pytest.mark.parametrize("field", IMAGES)
def test_a_cover_is_an_svg_picture_without_scripts(server: SimulatorServer, field: str) -> None:
    answer = call(submit(server.url)[0][field])
    picture = ElementTree.fromstring(answer.content)
    tags = {element.tag for element in picture.iter()}
    names = {name.lower() for element in picture.iter() for name in element.attrib}
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    assert "{http://www.w3.org/2000/svg}linearGradient" in tags
    assert not any("script" in tag or "foreignObject" in tag for tag in tags)
    assert not any(name.startswith("on") or "href" in name for name in names)


@pytest.mark.parametrize("field", AUDIO)
def test_the_audio_is_a_few_seconds_that_can_be_heard(server: SimulatorServer, field: str) -> None:
    answer = call(submit(server.url)[0][field])
    with wave.open(io.BytesIO(answer.content)) as sound:
        seconds = sound.getnframes() / sound.getframerate()
        samples = memoryview(sound.readframes(sound.getnframes())).cast("h")
    assert answer.headers["Content-Type"] == "audio/wav"
    assert len(answer.content) < 150_000
    assert 3 < seconds < 10
    assert 20_000 < max(samples) < 32_000
    assert abs(samples[0]) < 100 > abs(samples[-1])


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-1", 0, 2),
        ("bytes=1000-1999", 1000, 2000),
        ("bytes=5000-", 5000, None),
        ("bytes=-44", -44, None),
    ],
)
def test_a_range_is_answered_with_just_its_bytes(
    server: SimulatorServer, wanted: str, start: int, stop: int | None
) -> None:
    url = submit(server.url)[0]["audioUrl"]
    whole = call(url).content
    part = call(url, Range=wanted)
    expected = whole[start:stop]
    first = start % len(whole)
    assert part.status_code == 206
    assert part.content == expected
    assert part.headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{len(whole)}"
    assert part.headers["Content-Type"] == "audio/wav"


def test_an_answer_has_one_date(server: SimulatorServer) -> None:
    url = submit(server.url)[0]["audioUrl"]
    assert call(url).headers["Date"].count(" GMT") == 1


def test_a_range_behind_the_end_cannot_be_satisfied(server: SimulatorServer) -> None:
    answer = call(submit(server.url)[0]["audioUrl"], Range="bytes=9999999-")
    assert answer.status_code == 416
    assert answer.headers["Content-Range"].startswith("bytes */")


@pytest.mark.parametrize("field", ["audioUrl", "imageUrl"])
def test_head_tells_the_length_and_sends_no_body(server: SimulatorServer, field: str) -> None:
    url = submit(server.url)[0][field]
    head, whole = call(url, "HEAD"), call(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(whole.content))
    assert head.headers["Content-Type"] == whole.headers["Content-Type"]


def test_unknown_names_are_not_found(server: SimulatorServer) -> None:
    track_id = submit(server.url)[0]["id"]
    for name in ("audio.wav", "nothing", f"{track_id}/nothing.wav", f"{'0' * 36}/audio.wav", f"{track_id}/"):
        assert call(f"{server.url}/files/{name}").status_code == 404


def test_two_servers_with_one_seed_have_the_same_files() -> None:
    def files(seed: int) -> Mapping[str, bytes]:
        with SimulatorServer(Simulator(seed=seed, faults=NO_CALLBACKS)) as server:
            return {
                f"{row['id']} {field}": call(row[field]).content
                for row in submit(server.url)
                for field in ("imageUrl", "audioUrl")
            }

    assert files(1) == files(1)
    assert len(set(files(1).values()) | set(files(2).values())) == 8


def test_where_the_files_are_changes_nothing_else_of_a_task(server: SimulatorServer) -> None:
    def without_urls(row: Mapping[str, object]) -> Mapping[str, object]:
        return {key: value for key, value in row.items() if key not in {*FILES, "createTime"}}

    served, alone = submit(server.url), rows_without_server(seed=0)
    assert [without_urls(row) for row in served] == [without_urls(row) for row in alone]


def test_a_page_of_tasks_shows_many_titles_in_several_scripts() -> None:
    titles = Counter(rows_without_server(seed=seed)[0]["title"] for seed in range(60))
    letters = "".join(titles)
    assert len(titles) >= 25
    assert all(
        any(first <= each <= last for each in letters) for first, last in ("az", "ая", "一龥", "اي", "ぁん")
    )


def test_the_title_and_the_style_that_were_asked_for_are_kept() -> None:
    rows = rows_without_server(seed=1, title="Mine", style="polka")
    assert {(row["title"], row["tags"]) for row in rows} == {("Mine", "polka")}


def test_there_are_forty_songs_to_five_lyrics() -> None:
    lyrics = {song.lyrics for song in SONGS}
    assert len({song.title for song in SONGS}) == len(SONGS) == 40
    assert len(lyrics) == 5
    assert all(8 <= len(text.splitlines()) <= 20 for text in lyrics)


@pytest.mark.parametrize("song", SONGS, ids=lambda song: song.title)
def test_a_song_is_sung_in_the_script_of_its_title(song: Song) -> None:
    def scripts(text: str) -> set[str]:
        return {unicodedata.name(each).split()[0] for each in text if each.isalpha()}

    assert scripts(song.title) <= scripts(song.lyrics)
