"""The application that gunicorn serves."""

import os
import sys

from receiver.app import create_app
from receiver.settings import SettingsError, load_settings
from receiver.store.schema_version import NewerTablesError

FAILED_TO_LOAD = 4  # at which gunicorn halts; at others it would start workers without end

try:
    app = create_app(load_settings(os.environ))
except (SettingsError, NewerTablesError) as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(FAILED_TO_LOAD)
