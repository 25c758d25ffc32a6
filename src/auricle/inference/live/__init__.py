"""Sound that never ends: scores and events while they happen, and where events are sent."""
