"""The gateway: a door over HTTP (and, beside it, MCP and pages), with no decisions in it.

`app.make_app` puts it together; `gateway.Gateway` is what every door shares; `door.Door` is what everybody comes through.
"""
