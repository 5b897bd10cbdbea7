"""The files of the tracks over HTTP, and the songs' titles."""

import io
import wave
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import requests

from receiver.simulator import Simulator, SimulatorServer
from receiver.simulator.media import FILE_NAMES

REQUEST = {"callBackUrl": "http://127.0.0.1:9/callbacks/token", "model": "V5", "prompt": "rain"}
NO_CALLBACKS = {"all-callbacks-lost": 1.0}
AUDIO = [field for field, name in FILE_NAMES.items() if name.endswith(".wav")]
IMAGES = [field for field, name in FILE_NAMES.items() if name.endswith(".svg")]


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(Simulator(faults=NO_CALLBACKS)) as running:
        yield running


def call(url: str, method: str = "GET", **headers: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, headers=headers, timeout=10)


def submit(base_url: str) -> Any:
    """The true rows of a generation that was submitted over HTTP."""
    with requests.Session() as session:
        session.trust_env = False
        response = session.post(f"{base_url}/api/v1/generate", json=REQUEST, timeout=10)
        task_id = response.json()["data"]["taskId"]
        return session.get(f"{base_url}/simulator/tasks/{task_id}", timeout=10).json()["tracks"]


def rows_without_server(seed: int, **request: object) -> Any:
    simulator = Simulator(seed=seed, faults=NO_CALLBACKS)
    truth = simulator.truth(simulator.submit(REQUEST | request))
    return truth and truth["tracks"]


def test_the_six_urls_of_a_row_differ_and_lead_to_the_server(server: SimulatorServer) -> None:
    for row in submit(server.url):
        urls = [row[field] for field in FILE_NAMES]
        assert len(set(urls)) == 6
        assert all(url.startswith(f"{server.url}/files/{row['id']}/") for url in urls)


def test_a_caller_gets_urls_on_the_host_by_which_it_came() -> None:
    with SimulatorServer(Simulator(faults=NO_CALLBACKS), host="0.0.0.0") as server:
        base_url = f"http://localhost:{server.port}"
        row = submit(base_url)[0]
        assert row["imageUrl"].startswith(f"{base_url}/files/")
        assert call(row["imageUrl"]).ok


def test_record_info_and_callbacks_lead_to_the_same_files() -> None:
    simulator = Simulator()
    generation = simulator.generation(simulator.submit(REQUEST, "http://files.test"))
    assert generation is not None
    complete = generation.callbacks[-1].body.decode()
    rows: Any = generation.truth()["tracks"]
    assert rows[0]["audioUrl"].startswith("http://files.test/")
    assert all(row[field] in complete for row in rows for field in FILE_NAMES)


@pytest.mark.parametrize("field", IMAGES)
def test_a_cover_is_an_svg_gradient_without_scripts(server: SimulatorServer, field: str) -> None:
    response = call(submit(server.url)[0][field])
    picture = ET.fromstring(response.content)
    assert response.headers["Content-Type"] == "image/svg+xml"
    assert {element.tag.removeprefix("{http://www.w3.org/2000/svg}") for element in picture.iter()} == {
        "svg", "defs", "linearGradient", "stop", "rect",
    }  # fmt: skip


@pytest.mark.parametrize("field", AUDIO)
def test_the_audio_is_an_audible_tone_of_a_few_seconds(server: SimulatorServer, field: str) -> None:
    response = call(submit(server.url)[0][field])
    with wave.open(io.BytesIO(response.content)) as sound:
        seconds = sound.getnframes() / sound.getframerate()
        samples = memoryview(sound.readframes(sound.getnframes())).cast("h")
    assert response.headers["Content-Type"] == "audio/wav"
    assert 3 < seconds < 10
    assert 20_000 < max(samples) < 32_000
    assert abs(samples[0]) < 100 > abs(samples[-1])


def test_a_range_gets_just_its_bytes(server: SimulatorServer) -> None:
    url = submit(server.url)[0]["audioUrl"]
    whole = call(url).content
    part = call(url, Range="bytes=1000-1999")
    assert (part.status_code, part.content) == (206, whole[1000:2000])
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(whole)}"
    assert part.headers["Date"].count(" GMT") == 1
    assert call(url, Range="bytes=9999999-").status_code == 416


def test_head_has_the_length_and_no_body(server: SimulatorServer) -> None:
    url = submit(server.url)[0]["audioUrl"]
    head, whole = call(url, "HEAD"), call(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(whole.content))


def test_unknown_names_are_not_found(server: SimulatorServer) -> None:
    track_id = submit(server.url)[0]["id"]
    for name in ("audio.wav", f"{track_id}/nothing.wav", f"{'0' * 36}/audio.wav", f"{track_id}/"):
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


def test_the_titles_are_of_several_scripts() -> None:
    letters = "".join(rows_without_server(seed=seed)[0]["title"] for seed in range(60))
    assert all(
        any(first <= each <= last for each in letters)
        for first, last in ("az", "ая", "一龥", "اي", "ぁん", "🌀🛿")
    )


def test_the_requested_title_and_style_are_used() -> None:
    rows = rows_without_server(seed=1, title="Mine", style="polka")
    assert {(row["title"], row["tags"]) for row in rows} == {("Mine", "polka")}
