"""The red team: each test is an attack of docs/security.md, and is judged by its effect.

An effect is a canary that was read, a trap that was sprung, a connection that arrived, a merge, an approval, a changed
rule. What an attack prints is never believed. `make redteam` counts.
"""
