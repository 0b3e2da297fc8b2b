"""What a person states: cells, connections, an objective. No calculus here."""
