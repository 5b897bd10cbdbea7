"""How gunicorn takes requests: whole, so that a slow client keeps no thread waiting."""
