"""The broker: a skill speaks plain HTTP with a placeholder, and outside of its sandbox the key takes the placeholder's place, under TLS.

`keys` says which placeholder stands for what, `heads` rewrites requests and answers, `striking` takes the key out of what comes back, and
`carrying` is a connection. What each does not do is in `docs/security.md`, below the table.
"""
