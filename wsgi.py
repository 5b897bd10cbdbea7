"""What gunicorn serves: `gunicorn -c config/gunicorn.conf.py wsgi:app`."""

from receiver.wsgi import app

__all__ = ["app"]
