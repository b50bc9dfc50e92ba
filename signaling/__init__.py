"""The signaling server: it passes session descriptions and candidates on, and never touches media."""
