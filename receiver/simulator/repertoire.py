"""What the simulated songs are called, and what is sung in them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Song:
    title: str
    lyrics: str


ENGLISH = """[Verse 1]
The lamp is low, the street is long
I count the rain’s uneven song
A tram goes by with all its light
And leaves a warmer kind of night

[Chorus]
Stay a little, stay a while
The harbour keeps the last grey mile
Whatever morning has to say
Stay a little, anyway

[Verse 2]
The kettle hums, the windows blur
I learn again how quiet we were

[Outro]
Stay a little"""

RUSSIAN = """[Куплет 1]
Над рекою тают огни
Мы идём по мосту одни
Снег ложится на рукава
И не надо искать слова

[Припев]
Пой мне, ветер, до утра
Нам ещё не спать пора
Пусть плывёт за домом дом
Мы куда-нибудь придём

[Куплет 2]
Чай остыл, и город притих
Ночи хватит нам на двоих"""

CHINESE = """[主歌]
月光落在小河上
晚风吹过旧门窗
你折的那只纸船
还在水面轻轻晃

[副歌]
慢慢走 不要慌
雨停的地方有光
把想说的话
留给明天的晴朗"""

ARABIC = """[المقطع]
ليلٌ هادئٌ على المدينة
وضوءٌ ينام على السفينة
كتبتُ اسمكِ فوق الرمال
فجاء الموج وأخذ السؤال

[اللازمة]
ابقَ قليلاً يا قمر
فالطريق طويلٌ والسهر
وفي الصباح نسيمٌ جديد
يحمل أغنيةً من بعيد"""

JAPANESE = """[Aメロ]
雨上がりの坂道で
君の傘を思い出す
遠く汽笛が鳴るたび
夜が少し明けていく

[サビ]
ゆっくり歩こう
灯台の見える町まで
言えなかった言葉は
海風にあずけて"""

_TITLES_BY_LYRICS = (
    (
        ENGLISH,
        (
            "Whispering Tides",
            "Iron Lanterns",
            "Paper Moon Parade",
            "Nine O’Clock Rain",
            "Velvet Harbour",
            "Letters to the Lighthouse",
            "Copper Sky Avenue",
            "The Last Tram Home",
            "Slow Bloom",
            "Glass Orchard",
            "Kite over the Estuary",
            "Northern Lights, Southern Hearts",
            "Café sous la pluie",
            "Été à Valparaíso",
            "Canción de la orilla",
            "Nachtzug nach Süden",
            "Saudade em ré menor",
            "Żółte światła",
        ),
    ),
    (
        RUSSIAN,
        (
            "Северный ветер",
            "Огни над рекой",
            "Тихий снегопад",
            "Письмо с маяка",
            "Последняя электричка",
            "Медленный танец дождя",
            "Вишнёвый рассвет",
            "Город, который поёт",
        ),
    ),
    (CHINESE, ("月光下的河", "雨夜来信", "山间晨雾", "纸船", "晚风里的灯")),
    (ARABIC, ("ليل المدينة", "نسيم الصباح", "قمر على الماء", "رسالة من البحر", "خطوات تحت المطر")),
    (JAPANESE, ("夜明けの汽笛", "雨上がりの坂道", "ほたる通り", "さよならの灯台")),
)
SONGS = tuple(Song(title=title, lyrics=lyrics) for lyrics, titles in _TITLES_BY_LYRICS for title in titles)
TAGS = (
    "relaxing, soft, piano-driven, calm",
    "metal, distorted e-guitars, aggressive, thunderous drums",
    "folk, warm, acoustic guitar, female vocals",
    "synthwave, retro, driving, bright",
    "bossa nova, nylon guitar, breezy, brushed drums",
    "ambient, slow pads, field recordings, spacious",
    "indie pop, jangly guitars, hopeful, male vocals",
    "lo-fi hip hop, dusty keys, mellow, vinyl crackle",
    "orchestral, sweeping strings, cinematic, brass",
    "jazz trio, upright bass, late night, smoky",
    "drum and bass, fast, liquid, airy vocals",
    "chanson, accordion, waltz, bittersweet",
    "city pop, slap bass, glossy, 1980s",
    "oud, darbuka, modal, hypnotic",
    "gospel choir, organ, uplifting, handclaps",
    "blues, slide guitar, slow, gravelly voice",
)
