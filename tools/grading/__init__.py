"""What `tools/grade.py` is made of: the lesson, a submission, processes, the report."""
