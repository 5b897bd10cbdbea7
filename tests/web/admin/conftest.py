import pytest
from flask.testing import FlaskClient

from receiver.app import build_app
from receiver.runtime import Runtime
from tests.web.admin.page import sign_in


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    return build_app(runtime).test_client()


@pytest.fixture
def admin(client: FlaskClient) -> FlaskClient:
    assert sign_in(client).status_code == 303
    return client
