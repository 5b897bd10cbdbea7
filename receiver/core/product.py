"""What kind of job at the upstream a task is."""

from enum import StrEnum


class Product(StrEnum):
    MUSIC = "music"
