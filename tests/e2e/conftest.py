"""One browser and one filled receiver for all tests of the admin page in a process."""

from tests.e2e.browsing import browser, page, signed_in, site

__all__ = ["browser", "page", "signed_in", "site"]
