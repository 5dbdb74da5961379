"""HTTP: health and metrics, and what an operator or a program may ask of the running server."""
