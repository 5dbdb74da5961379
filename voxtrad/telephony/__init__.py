"""Who can carry a call; each module or package here implements `voxtrad.leg`."""
