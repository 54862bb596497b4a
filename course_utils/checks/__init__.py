"""The exercise checks: one module for each lesson, on the small base in `base`."""
