"""What gunicorn serves: `gunicorn -c config/gunicorn.conf.py wsgi:app`."""

import os
import sys

from receiver import SettingsError, create_app, load_settings

try:
    app = create_app(load_settings(os.environ))
except SettingsError as error:
    sys.exit(str(error))
