"""AI SERVICES: one file per outside service, behind small Protocols."""
