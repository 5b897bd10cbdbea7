"""gunicorn's settings, which the package has: `receiver serve` uses the same. See docs/deployment.md."""

from runpy import run_module

globals().update(run_module("receiver.gunicorn_config"))  # run anew at each reload, unlike an import
