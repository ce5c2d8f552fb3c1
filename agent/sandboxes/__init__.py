"""The shelf of sandboxes: what untrusted code runs in."""
