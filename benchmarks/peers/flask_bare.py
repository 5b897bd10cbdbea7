"""The route that the others are measured against: it reads the body, stores nothing, and answers 200."""

from flask import Flask, request

app = Flask(__name__)


@app.post("/callbacks")
def callback() -> dict[str, str]:
    request.get_data()
    return {"status": "received"}
