"""gunicorn's settings, out of the receiver's own. Run from the project's folder: see README.md, Running it."""

import os
import sys

from receiver import SettingsError, load_settings
from receiver.app import background

try:
    settings = load_settings(os.environ)
except SettingsError as error:
    sys.exit(str(error))

bind = settings.bind
workers = settings.workers
threads = settings.threads
worker_class = "gthread"
timeout = 60
graceful_timeout = 20  # longer than a call to the upstream, so that what is under way is finished
keepalive = 5
control_socket_disable = True  # nobody uses it, and it would be one more way in
accesslog = None  # the receiver writes its own line, without the token that stands in the path
forwarded_allow_ips = ""  # who is a proxy is decided once, by RECEIVER_TRUSTED_PROXIES


def post_worker_init(worker):
    """After the fork, so that threads and connections are the worker's own, with --preload as without."""
    background(worker.wsgi).start()


def worker_exit(server, worker):
    """Give the lease back, so that another worker polls at once."""
    if getattr(worker, "wsgi", None) is not None:
        background(worker.wsgi).stop()
