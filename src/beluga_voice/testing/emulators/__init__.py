"""Emulated services: a service's own protocol, on simulated or real sockets, without the service.

An emulator checks what it is sent as strictly as the service does, and says what the service would
say, in its order. The official SDKs run against them unmodified.
"""
