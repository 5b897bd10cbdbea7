"""gunicorn's configuration, out of the receiver's settings.

gunicorn runs this file, at the start and again at each reload: `receiver serve`, or config/gunicorn.conf.py. Nothing
imports it, as an import would be the same at a reload.
"""

import gc
import os
import sys
import time
from functools import partial
from signal import SIG_BLOCK, SIG_UNBLOCK, SIGTERM, pthread_sigmask
from threading import Thread
from typing import Any, NoReturn

from receiver.app import background, shut_down, wait_for_runtime
from receiver.logs import server_logging
from receiver.metrics import free_place, worker_files
from receiver.serving.callback_path import wants_body_of
from receiver.serving.cores import own_core, stay_on, usable_cores
from receiver.serving.fixed_settings import describe_changes
from receiver.serving.memory import use_few_arenas
from receiver.serving.server_log import ServerLogger
from receiver.serving.worker import buffering_worker
from receiver.settings import SettingsError, load_settings
from receiver.settings.advice import log_settings_warnings
from receiver.store.schema_version import NewerTablesError
from receiver.web.callbacks import READ_TO_REFUSE

try:
    settings = load_settings(os.environ)
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(os.EX_CONFIG)  # a code of its own: config/receiver.service does not try again

bind = settings.bind
workers = settings.workers
threads = settings.threads
# gthread, with requests collected before a thread sees them; headers have 10 seconds, bodies 20, answers 10.
worker_class = buffering_worker(
    max_body=READ_TO_REFUSE * settings.max_body_bytes, wants_body=wants_body_of(settings.callback_tokens)
)
limit_request_line = 8190  # gunicorn's most, and as much as nginx takes: the longest q= in any alphabet fits
worker_connections = max(1000, 2 * threads)
timeout = 60  # for a process that hangs; a thread may take as long as it needs
graceful_timeout = 20  # longer than a callback behind a locked database (12) and a call to the upstream (10)
keepalive = 5  # longer than a proxy keeps its own (4), so that nobody sends on a connection just closed
max_requests = 100_000  # bounds what C libraries leak; one worker is away for three seconds then
max_requests_jitter = 50_000  # so that they are not away together
control_socket_disable = True  # nobody uses it, and it would be one more way in
accesslog = None  # the receiver writes its own line, without the token that stands in the path
# Who is a proxy is decided once, by RECEIVER_TRUSTED_PROXIES; on a unix socket gunicorn would believe anybody.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
logger_class = ServerLogger
logconfig_dict = server_logging(settings.log_format)
metrics_files = worker_files()  # before any application is made

CHECK_INTERVAL_S = 0.1
GC_THRESHOLDS = (20_000, 20, 50)

# A SIGTERM between a fork and the worker's own handlers would be lost, and the stop last `graceful_timeout`.
block_sigterm = partial(pthread_sigmask, SIG_BLOCK, {SIGTERM})
unblock_sigterm = partial(pthread_sigmask, SIG_UNBLOCK, {SIGTERM})
os.register_at_fork(before=block_sigterm, after_in_parent=unblock_sigterm)


def on_starting(server: Any) -> None:
    """Bring the tables up to date before there are workers: one that took longer than `timeout` would be killed."""
    refuse_changes(server)
    try:
        wait_for_runtime(settings)
    except NewerTablesError as error:
        stop(str(error))
    log_settings_warnings(settings)


def on_reload(server: Any) -> None:
    refuse_changes(server)
    log_settings_warnings(settings)


def refuse_changes(server: Any) -> None:
    """Arguments of gunicorn come after this file, and may not undo what it promises."""
    changes = describe_changes(server.cfg, globals())
    if changes:
        stop(changes)


def stop(why: str) -> NoReturn:
    metrics_files.remove()
    sys.stderr.write(f"{why}\n")
    sys.exit(os.EX_CONFIG)


def pre_fork(server: Any, worker: Any) -> None:
    others = server.WORKERS.values()
    worker.place = free_place(other.place for other in others)
    worker.core = own_core(usable_cores(), (other.core for other in others), server.num_workers)


def post_fork(server: Any, worker: Any) -> None:
    metrics_files.take(worker.place)
    use_few_arenas()
    if worker.core is not None:
        stay_on(worker.core)


def post_worker_init(worker: Any) -> None:
    """After the fork, so that threads and connections are the worker's own, with --preload as without."""
    unblock_sigterm()
    collect_garbage_less_often()
    background(worker.wsgi).start()
    worker.shutdown = Thread(target=shut_down_when_stopping, args=(worker,), name="shutdown", daemon=True)
    worker.shutdown.start()


def collect_garbage_less_often() -> None:
    """Hardly anything is garbage here: a callback's values are freed as it is answered.

    By Python's own thresholds (700 new objects) the collector takes a twelfth of the CPU, and looks at values that
    are still in use. What has been imported by now is never looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def shut_down_when_stopping(worker: Any) -> None:
    """Give the lease back and let readers go when the worker takes no more connections, not when the last has gone.

    gunicorn has no hook for that moment, which SIGTERM, SIGHUP and `max_requests` have in common.
    """
    while worker.alive:
        time.sleep(CHECK_INTERVAL_S)
    shut_down(worker.wsgi)


def worker_exit(server: Any, worker: Any) -> None:
    """Whatever ended it, it has given the lease back by then."""
    if hasattr(worker, "shutdown"):
        worker.alive = False
        worker.shutdown.join()


def pre_exec(server: Any) -> None:
    """After SIGUSR2: the mask would be the new server's, too, and `receiver serve` has put arguments in argv."""
    unblock_sigterm()
    server.START_CTX["args"] = [sys.executable, *sys.orig_argv[1:]]


def on_exit(server: Any) -> None:
    metrics_files.remove()
