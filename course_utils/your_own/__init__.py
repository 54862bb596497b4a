"""Lesson 10: any picture, network and question; one sheet, or a map for a whole folder.

`sheet` lays pictures × methods side by side, `folder` maps every picture of a folder, and
`settings` records what both were made with. `cluster` shares a folder among the workers of
Ray; ``python -m course_utils.your_own photos`` maps one from the shell.
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
