"""The pages: what people see of SkillOps in a browser. Doors, with no decisions in them.

Made on the server with Jinja2, live by server-sent events, with no build step and no inline script. Each page is a function that
gives data; that data is its JSON twin, and a template makes the page of it.
"""
