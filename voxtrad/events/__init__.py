"""What happens on calls: the types of events, and the bus that carries them to whoever watches."""
