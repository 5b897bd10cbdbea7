"""A callback receiver for Suno-style music generation APIs: one reconciled state per task."""
