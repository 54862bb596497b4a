"""Lesson 10: any picture, network and question; one sheet, or a map for a whole folder.

Beside `sheet` and `folder`: `settings` records what both were made with, `cluster` shares
a folder among workers of Ray, ``python -m course_utils.your_own`` maps it from the shell.
"""

from .folder import FolderRun, map_folder
from .sheet import COURSE, SCALES, Sheet, compare_methods, repeat_sheet

__all__ = [
    "COURSE",
    "SCALES",
    "FolderRun",
    "Sheet",
    "compare_methods",
    "map_folder",
    "repeat_sheet",
]
