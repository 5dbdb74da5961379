"""What the modules of one vendor share: the connection model, the client, how its errors map to ours."""
