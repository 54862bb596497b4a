"""Lesson 12: any picture, network and question; one sheet, or a map for a whole folder.

Beside `sheet` and `folder`: `settings` says what both were made with, and `identity` by
what a function or a network is known again. The work of a folder run is in `job`, what it
writes beside the maps in `record`, and `cluster` shares it among workers of Ray. ``python
-m course_utils.your_own`` maps a folder from the shell; `networks` finds one of your own.
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
