"""Poisoned tasks: record-info answers wrongly about them alone, and their truth stays what it was."""

import json
import time

import pytest

from receiver.core.payloads import ParseOutcome, Trouble, classify_response, parse_poll
from receiver.simulator import FAULTS, POISONS, Simulator
from receiver.simulator.responses import HttpResponse

CALLBACK = {"callBackUrl": "http://127.0.0.1:9/callbacks/token", "prompt": 'a "b"', "model": "V5"}
TROUBLES = {
    "poison-code-401": Trouble.REFUSED,
    "poison-http-401": Trouble.DENIED,
    "poison-http-403": Trouble.DENIED,
    "poison-http-429": Trouble.LIMITED,
    "poison-http-500": Trouble.SERVER_ERROR,
    "poison-redirect": Trouble.NOT_RECORD_INFO,
    "poison-html": Trouble.NOT_RECORD_INFO,
    "poison-junk": Trouble.NOT_RECORD_INFO,
}


def poisoned(kind: str, poisoned_calls: int | None = None) -> tuple[Simulator, str]:
    simulator = Simulator(faults={kind: 1.0}, poisoned_calls=poisoned_calls, hang_s=0.1)
    return simulator, simulator.submit(CALLBACK)


def is_true(simulator: Simulator, task_id: str, response: HttpResponse) -> bool:
    generation = simulator.generation(task_id)
    assert generation is not None
    return bool(
        response.http_status == 200
        and response.body == json.dumps(generation.record_info(time.time())).encode()
    )


@pytest.mark.parametrize("kind", sorted(set(POISONS) - {"poison-hang", "poison-param"}))
def test_a_poisoned_task_gets_a_wrong_response_for_ever(kind: str) -> None:
    simulator, task_id = poisoned(kind)
    for _ in range(5):
        response = simulator.record_info(task_id)
        assert classify_response(response.http_status, response.body) == TROUBLES.get(kind)
        assert not is_true(simulator, task_id, response)
    assert kind in (simulator.truth(task_id) or {})["faults"]  # type: ignore[operator]


def test_a_poisoned_task_that_hangs_keeps_its_caller_waiting() -> None:
    simulator, task_id = poisoned("poison-hang")
    began = time.monotonic()
    simulator.record_info(task_id)
    assert time.monotonic() - began >= 0.1


def test_a_param_that_is_wrongly_escaped_makes_the_record_no_json_and_can_be_cut_out() -> None:
    simulator, task_id = poisoned("poison-param")
    body = simulator.record_info(task_id).body
    with pytest.raises(ValueError, match="delimiter"):
        json.loads(body)
    assert parse_poll(body, task_id).kind is ParseOutcome.PARSED


@pytest.mark.parametrize("kind", POISONS)
def test_a_poison_can_be_used_up_by_calls(kind: str) -> None:
    simulator, task_id = poisoned(kind, poisoned_calls=3)
    wrong = [simulator.record_info(task_id) for _ in range(3)]
    assert kind == "poison-hang" or not any(is_true(simulator, task_id, response) for response in wrong)
    assert is_true(simulator, task_id, simulator.record_info(task_id))


def test_a_poison_shifts_no_other_draw() -> None:
    faults = dict.fromkeys(set(FAULTS) - set(POISONS), 0.2)
    plain, other = Simulator(faults=faults, seed=3), Simulator(faults={**faults, "poison-html": 1.0}, seed=3)
    for _ in range(20):
        task_id, other_id = plain.submit(CALLBACK), other.submit(CALLBACK)
        assert task_id == other_id
        known, changed = plain.truth(task_id), other.truth(other_id)
        assert known is not None
        assert changed is not None
        assert changed["faults"] == [*known["faults"], "poison-html"]  # type: ignore[misc]
        assert (changed["outcome"], changed["errorCode"]) == (known["outcome"], known["errorCode"])
