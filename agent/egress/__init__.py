"""The way out of a skill: who may be reached (`rules`), the proxy outside (`proxy`), and the forwarder inside (`forwarder`).

Standard library alone, and nothing else of SkillOps: these files also run by themselves, in a sandbox or a container.
"""
