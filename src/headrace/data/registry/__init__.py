"""Who may call and who may administer: keys, tenants, teams, users, and where they are kept."""
