"""Access tokens of OpenID Connect providers: their keys, their signatures, their rules."""
