"""What an agent can do besides talking: tools, and the runner that validates, gates and times them."""
