"""Tools that come with voxtrad, one module each."""
