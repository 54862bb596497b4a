"""The labs: one interactive per lesson, each on the small base class `Lab`.

Each takes a `model`, a classifier of ImageNet's classes; the bundled SqueezeNet if None.
"""
