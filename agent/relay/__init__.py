"""The relay: the one program that stands between the closed network of containers and the world. It runs in a container of its own, from
the standard library alone; `agent/runtimes/relay.py` starts it and tells it what there is.
"""
