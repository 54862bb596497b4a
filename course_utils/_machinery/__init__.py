"""What the methods stand on, and what a reader of the lessons need not open."""
