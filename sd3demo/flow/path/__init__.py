"""How long a path is, how it turns and what shape it has."""
