"""Fuzzing of whatever reads outside data. `make test` gives each reader some hundred odd texts (hypothesis); `make fuzz` looks for new
paths through it for as long as it is let (atheris, which `pip install -e '.[fuzz]'` brings)."""
