"""Which covers and audio a page may load: by https, and from a simulated upstream on this machine."""

from urllib.parse import urlsplit

from receiver.settings.advice import is_loopback

HTTPS = "https:"


def media_origins(upstream_url: str) -> tuple[str, ...]:
    """Sources for the Content-Security-Policy. The simulator serves its files by http, on a loopback address."""
    parts = urlsplit(upstream_url)
    simulated = parts.scheme == "http" and is_loopback(parts.hostname or "")
    return (HTTPS, f"http://{parts.netloc}") if simulated else (HTTPS,)


def may_load(url: str, origins: tuple[str, ...]) -> bool:
    """Whether the URL is from one of these origins."""
    return any(url.lower().startswith(f"{origin}/") for origin in origins)
