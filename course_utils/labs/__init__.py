"""The labs: one interactive a lesson, each on the small base class `Lab`."""
