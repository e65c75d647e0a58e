"""Serves the page, its files, and the calls it makes.

    GET /              the page
    GET /static/...    its scripts and styles, as they lie in the package
    GET /config.json   what answers here, for the page's footnote; needs the token, if there is one
    GET /health        {"status": "ok", "calls": 2, "max_calls": 50}, for people and dashboards
    GET /healthz       200 for as long as the process serves anything
    GET /readyz        200 while new calls are taken, then 503: for load balancers
    GET /ws            the websocket of `docs/reference/websocket.md`; needs the token likewise

`create_app` gives the application, to be run by whoever likes; `serve` runs it until SIGINT or
SIGTERM, and `run` runs any coroutine on uvloop where it is installed. There is no access log.

SIGTERM drains: new calls are refused, what is being said is finished, and calls that another
process can go on with are handed over. SIGINT, which is a person at a terminal, does without. A
second signal ends the process at once.
"""

import asyncio
import errno
import gc
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import msgspec

from beluga_voice.backends.websocket.carrier import Checkpoints, Session, WebSocketCarrier
from beluga_voice.backends.websocket.protocol import Limits
from beluga_voice.errors import ConfigurationError, MissingExtra
from beluga_voice.interfaces import Line
from beluga_voice.server.access import Access, Denial

try:
    from aiohttp import web
except ImportError as missing:
    raise MissingExtra("the server", extra="server", op="server") from missing

_STATIC = Path(str(files("beluga_voice.server") / "static"))
_SHUTDOWN_SECONDS = 5.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
DRAIN_SECONDS = 20.0
"""How long what is being said may take to be finished when the server is stopped."""

CARRIER = web.AppKey("carrier", WebSocketCarrier)
"""What carries the calls of an application."""

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
type Key = Callable[[web.Request], str]
"""For whom a request counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What the page says about who listens, answers and speaks."""

    s2s: str = ""
    """The service that hears and speaks, where one does both."""
    stt: str = ""
    agent: str = ""
    tts: str = ""
    has_embedded_recognition: bool = False
    """The recogniser is the small one in the package; the page says that there are better ones."""


def create_app(
    make_session: Callable[[Line], Session],
    *,
    access: Access,
    labels: Labels | None = None,
    limits: Limits | None = None,
    checkpoints: Checkpoints | None = None,
    tenant_of: Key | None = None,
    provider_of: Key | None = None,
) -> web.Application:
    """The application. Shutting it down ends its calls in order, within their deadlines.

    `tenant_of` says for whom a call counts where `Limits` bounds the calls of one tenant: without
    it, for the address it comes from. `provider_of` likewise; without it, none is counted.
    """
    carrier = WebSocketCarrier(make_session, limits=limits, checkpoints=checkpoints)
    config = msgspec.json.encode(labels or Labels())
    tenant_of = tenant_of or address_of

    @web.middleware
    async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
        if denial := access.check_host(request.host):
            return _denied(denial)
        return await handler(request)

    async def page(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Security-Policy": _page_policy(request.host)}
        return web.FileResponse(_STATIC / "index.html", headers=headers)

    async def health(_: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"status": "ok", "calls": carrier.calls, "max_calls": carrier.limits.max_sessions}
        )

    async def alive(_: web.Request) -> web.StreamResponse:
        return web.Response(text="ok")

    async def ready(_: web.Request) -> web.StreamResponse:
        if carrier.is_ready:
            return web.Response(text="ok")
        return web.Response(status=503, text="draining")

    async def describe(request: web.Request) -> web.StreamResponse:
        if denial := access.check(request.headers):
            return _denied(denial)
        return web.Response(body=config, content_type="application/json")

    async def call(request: web.Request) -> web.StreamResponse:
        if denial := access.check(request.headers):
            return _denied(denial)
        provider = "" if provider_of is None else provider_of(request)
        return await carrier.handle(request, tenant=tenant_of(request), provider=provider)

    async def stop(_: web.Application) -> None:
        await carrier.stop()

    app = web.Application(middlewares=[check_host])
    app[CARRIER] = carrier
    app.router.add_get("/", page)
    app.router.add_get("/config.json", describe)
    app.router.add_get("/health", health)
    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/ws", call)
    app.router.add_static("/static", _STATIC)
    app.on_response_prepare.append(_add_security_headers)
    app.on_shutdown.append(stop)
    return app


def address_of(request: web.Request) -> str:
    """The address a request comes from: a tenant, where nothing else tells tenants apart."""
    return request.remote or ""


@asynccontextmanager
async def listening(app: web.Application, *, host: str, port: int) -> AsyncGenerator[str]:
    """Listen at an address while the context is open; gives the URL. Port 0 takes a free one.

    Raises `ConfigurationError` when the address cannot be had.
    """
    runner = web.AppRunner(
        app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_SECONDS
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise _cannot_listen(host, port, error) from error
        taken = runner.addresses[0][1]
        yield f"http://{f'[{host}]' if ':' in host else host}:{taken}"
    finally:
        await runner.cleanup()


async def serve(
    make_session: Callable[[Line], Session],
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    token: str | None = None,
    allowed_origins: tuple[str, ...] = (),
    allow_unauthenticated: bool = False,
    labels: Labels | None = None,
    limits: Limits | None = None,
    checkpoints: Checkpoints | None = None,
    drain_seconds: float = DRAIN_SECONDS,
    tenant_of: Key | None = None,
    provider_of: Key | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; then end the calls in order. A second signal kills.

    SIGTERM drains first, for at most `drain_seconds`: see `WebSocketCarrier.drain`.
    `on_ready` is given the URL once callers can come. Raises `ConfigurationError` when the address
    cannot be had, or is open to other machines without a token.
    """
    access = Access(
        host=host,
        token=token,
        allowed_origins=allowed_origins,
        allow_unauthenticated=allow_unauthenticated,
    )
    app = create_app(
        make_session,
        access=access,
        labels=labels,
        limits=limits,
        checkpoints=checkpoints,
        tenant_of=tenant_of,
        provider_of=provider_of,
    )
    async with listening(app, host=host, port=port) as url:
        tune_garbage_collector()
        with _stop_signals() as stopped:
            if on_ready is not None:
                on_ready(url)
            if await stopped is signal.SIGTERM and drain_seconds > 0:
                await app[CARRIER].drain(drain_seconds)


def run[T](main: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end, on uvloop where it is installed."""
    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        return runner.run(main)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not installed, or there is none for this platform
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def tune_garbage_collector() -> None:
    """Take what is loaded out of the collector's sight, and let it run rarely.

    With the default thresholds its pauses, not the work, limit how many calls one process carries:
    measured with 600 echoing websockets, the 99th percentile of the delay went from 240 ms to 5.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@contextmanager
def _stop_signals() -> Generator[asyncio.Future[signal.Signals]]:
    """Turns the first stop signal into a result, and leaves the next one to the system."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[signal.Signals] = loop.create_future()

    def stop(which: signal.Signals) -> None:
        if not stopped.done():
            stopped.set_result(which)
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    # Windows has no signal handlers in its loop: there KeyboardInterrupt ends it at once.
    with suppress(NotImplementedError):
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, stop, number)
    yield stopped


def _cannot_listen(host: str, port: int, error: OSError) -> ConfigurationError:
    match error.errno:
        case errno.EADDRINUSE:
            advice = "another program listens there; stop it, or choose another port"
        case errno.EACCES:
            advice = "this user may not; choose a port above 1023"
        case errno.EADDRNOTAVAIL:
            advice = "this machine has no such address; 127.0.0.1 always works"
        case _:
            advice = error.strerror or type(error).__name__
    return ConfigurationError(f"cannot listen on {host} port {port}: {advice}", op="server")


def _denied(denial: Denial) -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"} if denial.status == 401 else None
    return web.json_response({"error": denial.message}, status=denial.status, headers=headers)


def _page_policy(host: str) -> str:
    # Older browsers do not take 'self' for websockets. The host was checked before it gets here.
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src 'self' ws://{host} wss://{host}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


async def _add_security_headers(_: web.Request, response: web.StreamResponse) -> None:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Permissions-Policy"] = "microphone=(self), camera=(), geolocation=()"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Cache-Control"] = "no-cache"
