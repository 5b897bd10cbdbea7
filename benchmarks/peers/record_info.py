"""The least that a record-info may do: it knows every task, and each has succeeded."""

import json
import os
import time

from flask import Flask, Response, request

from benchmarks.generations import record_of_success

app = Flask(__name__)
MARKER = "0" * 32
TAKES_S = float(os.environ["RECORD_INFO_MS"]) / 1000
RECORD = json.dumps(record_of_success(MARKER), separators=(",", ":"))


@app.get("/api/v1/generate/record-info")
def record_info() -> Response:
    time.sleep(TAKES_S)
    return Response(RECORD.replace(MARKER, request.args["taskId"]), content_type="application/json")
