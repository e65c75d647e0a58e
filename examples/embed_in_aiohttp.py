"""A voice agent within a web application of one's own: one more route.

    ./dev run python -m examples.embed_in_aiohttp

The calls speak the protocol of docs/reference/websocket.md.
"""

from aiohttp import web

from beluga_voice import VoiceSession
from beluga_voice.backends.websocket import Limits, WebSocketCarrier
from beluga_voice.interfaces import Line

TOKENS = {"the-token-of-mary": "Mary"}


def make_app() -> web.Application:
    """An application with a page of its own, and calls at /voice."""

    def make_session(line: Line) -> VoiceSession:
        return VoiceSession(line=line)

    carrier = WebSocketCarrier(make_session, limits=Limits(max_sessions=20))

    async def home(_: web.Request) -> web.StreamResponse:
        return web.Response(text="Call us at /voice.")

    async def voice(request: web.Request) -> web.StreamResponse:
        # The carrier admits everybody up to its limit: who may call is for the application to say.
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in TOKENS:
            raise web.HTTPUnauthorized()
        return await carrier.handle(request)

    async def stop(_: web.Application) -> None:
        await carrier.stop()

    app = web.Application()
    app.router.add_get("/", home)
    app.router.add_get("/voice", voice)
    app.on_shutdown.append(stop)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8090)
