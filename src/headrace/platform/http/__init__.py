"""HTTP/1.1 on llhttp: the upstream client and the gateway server, both without policy."""
