"""The labs: one interactive per lesson, each on the small base class `Lab`."""
