"""What the songs and orders are called: common words, rare ones, and several scripts."""

import random
from collections.abc import Mapping, Sequence

from receiver.simulator.tracks import SONGS

RARE = "Quetzalcoatl"
RARE_SHARE = 1 / 100_000
LABEL_SHARE = 1 / 3
# Each with the words that begin a title and those that end it; the first of each are the commonest.
VOCABULARY = (
    (
        "Midnight Golden Silent Paper Velvet Copper Northern Broken Crystal Hollow Summer Winter Neon",
        "Rain River Lights Harbour Train Garden Letters Moon Avenue Lanterns Echo Horizon Carousel Orchard",
    ),
    (
        "Северный Тихий Последний Медленный Вишнёвый Ночной Дальний Старый Зимний",
        "ветер снегопад поезд рассвет город маяк вальс дождь берег",
    ),
    ("月光下的 雨夜的 山间的 晚风里的", "小河 来信 晨雾 纸船 灯"),
    ("ليل نسيم قمر رسالة خطوات", "المدينة الصباح الماء البحر المطر"),
    ("夜明けの 雨上がりの ほたるの さよならの", "汽笛 坂道 通り 灯台 手紙"),
    ("Été Café Canción Nächte Żółte Saudade Déjà", "Valparaíso orilla Süden światła menor pluie vu"),
)
WORDS = [(starts.split(), ends.split()) for starts, ends in VOCABULARY]
SCRIPTS = (55, 20, 8, 5, 5, 7)
CLIENTS = (
    "Anna",
    "Борис",
    "Café Lumière",
    "Studio Øst",
    "李伟",
    "محمد",
    "Nakamura",
    "Zoë",
    "Radio 7",
    "Kinderlieder",
)
KNOWN = [song.title for song in SONGS]


def draw_title(rng: random.Random) -> str:
    """A title; a tenth are the simulator's own, the rest two or three words."""
    if rng.random() < RARE_SHARE:
        return f"{RARE} {rng.randrange(100)}"
    if rng.random() < 0.1:
        return rng.choice(KNOWN).replace('"', "")
    starts, ends = rng.choices(WORDS, SCRIPTS)[0]
    title = f"{_common_first(starts, rng)} {_common_first(ends, rng)}"
    return f"{title} {rng.randrange(2, 2000)}" if rng.random() < 0.2 else title


def draw_label(number: int, rng: random.Random) -> str | None:
    if rng.random() > LABEL_SHARE:
        return None
    client = rng.choice(CLIENTS)
    return rng.choice((f"order {number}", f"{client} #{number}", f"{client}, demo {rng.randrange(40)}"))


def _common_first(words: Sequence[str], rng: random.Random) -> str:
    return words[int(len(words) * rng.random() ** 2)]


def sought_words() -> Mapping[str, str]:
    """Searches by what they are good for."""
    return {
        "a common word": "rain",
        "a rare word": RARE.lower(),
        "two words": "midnight rain",
        "a word of another script": "ветер",
        "a label": "order 4321",
        "one letter": "m",
        "a word that is nowhere": "xylophonist",
    }
