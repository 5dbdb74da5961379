"""HTTP that leaves the house: the signer and the guarded client, used by webhook tools and event delivery alike."""
