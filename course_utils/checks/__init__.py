"""The exercise checks: one module a lesson, on the small base in `base`."""
