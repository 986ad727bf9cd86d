"""The words and colours of the world as data: every word that a caption may use."""

from __future__ import annotations

Colour = tuple[float, float, float]


def _rgb(red: int, green: int, blue: int) -> Colour:
    return (red / 255, green / 255, blue / 255)


SHAPES = ("circle", "square", "triangle", "diamond", "star", "heart", "ring", "cross")
TEXTURES = ("solid", "striped", "dotted")
SIZES = ("small", "large")
COUNTS = ("one", "two", "three", "four", "five")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

COLOURS: dict[str, Colour] = {
    "red": _rgb(220, 40, 40),
    "orange": _rgb(245, 140, 20),
    "yellow": _rgb(250, 220, 50),
    "green": _rgb(40, 160, 60),
    "cyan": _rgb(60, 210, 220),
    "blue": _rgb(40, 80, 220),
    "purple": _rgb(130, 50, 180),
    "pink": _rgb(245, 130, 190),
    "white": _rgb(255, 255, 255),
    "black": _rgb(10, 10, 10),
}
BACKGROUNDS: dict[str, Colour] = {
    "white": _rgb(255, 255, 255),
    "black": _rgb(10, 10, 10),
    "gray": _rgb(128, 128, 128),
    "navy": _rgb(20, 30, 80),
    "beige": _rgb(236, 220, 190),
}
CONTRAST = 0.42
"""Least RGB distance (in units of one channel's range) of a thing from its background."""
SHADE_CONTRAST = 0.30
"""Least RGB distance of a texture's second colour from the background."""

RELATIONS = ("left of", "right of", "above", "below")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
RELATION_PHRASES = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
PLACES = ("top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right")

_TRAINED_WORDS = """
ACE ADD AGE AIR ALL AND ANT APE ARM ART ASH ATE AXE BAD BAG BAT BEE BIG BIRD BLUE BOAT BOOK BOX BOY
BUS CAB CAKE CAN CAP CAR CAT CITY COAT COLD COW CUP DAY DEAR DEER DOG DOOR DOT DRUM DRY DUCK EAR
EASY EGG END EYE FACE FAN FAR FAST FIG FISH FIVE FLY FOG FOX FROG FUN GAS GIFT GO GOAT GOLD GUM HAND
HAT HE HEN HILL HOME HOT ICE IDEA INK IS IT JAM JAR JET JOB JOY JUMP KEY KID KING KITE LAMP LAW LEAF
LEG LION LIP LOVE MAN MAP MATH ME MILK MIX MOON MUD NET NEW NO NOSE NUT OAK ODD OIL OLD ON ONE OPEN
OWL OX PAN PARK PEN PIG PINK PLAY QUIZ RAIN RAT RED RICE ROAD ROCK RUN SAD SALT SEA SHIP SIX SKY
SNOW SO SONG SUN TAXI TEA TEN TENT TIE TOY TREE UP US VAN VASE VET WAVE WAX WE WEB WIN WOLF WOOD YAK
YES YOU ZERO ZIP ZOO
"""
TRAINED_WORDS = tuple(_TRAINED_WORDS.split())
"""Words that the flow and the tokenizers are trained on."""

_HELD_OUT_WORDS = """
ABLE BEAR BED BELL BIKE BUG BY CALM COIN CORN DO DUST FARM FIRE FLAG FORK GAME GYM HI HUG IF JAZZ
JOKE KIWI LAKE LIME LOG MAZE MOP NAP NEST OR OVEN PET POND QUAY RIB ROBE SOAP SPY TUB URN
VOLT WIG YARD YOGA ZINC ZEN EXIT JURY HERO ECHO MYTH
"""
HELD_OUT_WORDS = tuple(_HELD_OUT_WORDS.split())
"""Words that no training caption contains; typography is scored on them."""

_CAPTION_WORDS = """
a an the of in on at to and with one two three four five 2 3 4 5 picture image showing drawing photo
word text letters reading says written background side corner gray grey navy beige color colored
left right above below over under that there is are next beside top bottom center middle small large
big tiny
"""
CAPTION_WORDS = tuple(_CAPTION_WORDS.split())
"""Every word of every phrasing that is not a shape, a colour, a texture or a written word."""


def plural(shape: str) -> str:
    """Return the plural of a shape's name."""
    return shape + ("es" if shape.endswith("s") else "s")


def distance(one: Colour, other: Colour) -> float:
    """Return the Euclidean distance of two colours, each channel in [0, 1]."""
    return sum((p - q) ** 2 for p, q in zip(one, other, strict=True)) ** 0.5


def shade(colour: Colour) -> Colour:
    """Return the second colour of a texture: darker, or lighter where the first one is dark."""
    dark = sum(colour) < 0.6
    return tuple(c + 0.45 * (1 - c) if dark else c * 0.5 for c in colour)  # type: ignore[return-value]


def colours_on(background: str) -> tuple[str, ...]:
    """Return the colours that a thing may have on this background, by CONTRAST."""
    ground = BACKGROUNDS[background]
    return tuple(name for name, rgb in COLOURS.items() if distance(rgb, ground) >= CONTRAST)


def vocabulary() -> tuple[str, ...]:
    """Return every lower-case word of the whole-word tokenizers, sorted."""
    words = {*CAPTION_WORDS, *SHAPES, *map(plural, SHAPES), *TEXTURES, *COLOURS, *BACKGROUNDS}
    return tuple(sorted(words | {word.lower() for word in TRAINED_WORDS}))
