"""The languages that skills are written in, one package each. `agent/wiring.py` makes the registry of them."""
