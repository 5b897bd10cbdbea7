"""What surrounds every admin page: the health banner and the security headers."""

from typing import Any

from flask import Response, g, render_template, request

from receiver.core.plurals import agree, quantity
from receiver.web.admin.assets import cache_control
from receiver.web.admin.blueprint import blueprint, is_on_page, request_time
from receiver.web.admin.health_banner import Health, build_banner
from receiver.web.admin.media import media_origins
from receiver.web.current import current_runtime
from receiver.web.read_system_state import read_system_state

POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'{media};"
    " media-src 'self'{media}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none at all the CSRF check refuses every form sent by TLS
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not even the names in links are looked up before somebody follows one.
    "X-DNS-Prefetch-Control": "off",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
WITH_MEDIA = "admin.read_task"  # its covers and tracks are the one thing that comes from other hosts

blueprint.add_app_template_global(quantity)
blueprint.add_app_template_global(agree)


def page(template: str, *, status: int = 200, live: bool = False, **values: Any) -> Response:
    """A page; a `live` one refreshes itself."""
    text = render_template(f"admin/{template}", live=live, **values)
    # JSON can bring half a surrogate pair, which UTF-8 cannot write.
    return Response(text.encode(errors="replace"), status=status, content_type="text/html; charset=utf-8")


@blueprint.context_processor
def _health() -> dict[str, Health | None]:
    """The banner; None before signing in. An error page sets `g.health`, where reading it might fail again."""
    if "health" not in g:
        signed_in = g.get("signed_in")
        g.health = (
            build_banner(read_system_state(current_runtime(), now=request_time())) if signed_in else None
        )
    return {"health": g.health}


def protect_response(response: Response) -> Response:
    """For the whole application, as an address that no route matches belongs to no blueprint."""
    if not is_on_page(request.path):
        return response
    origins = media_origins(current_runtime().settings.upstream_url) if request.endpoint == WITH_MEDIA else ()
    media = "".join(f" {origin}" for origin in origins)
    response.headers.update(HEADERS | {"Content-Security-Policy": POLICY.format(media=media)})
    caching = "no-store"
    if request.endpoint == "admin.static" and response.status_code in (200, 206, 304):
        assert request.view_args
        caching = cache_control(request.view_args["filename"], request.args.get("v"))
    response.headers["Cache-Control"] = caching
    return response
