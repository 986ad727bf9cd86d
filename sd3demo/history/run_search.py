"""A search of the history: words of the prompt, and settings such as `cfg>3`, `solver:heun` or `steps<=10`.

Everything that is asked for must hold. What stands between double quotes is a word, spaces and signs
included; `negative:"a dog"` has them too.
"""

import difflib
import operator
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sd3demo.errors import Refusal
from sd3demo.settings import bounds_of, choices_of, quoted
from sd3demo.settings.extrapolation import ResolvedExtrapolation

TOKEN = re.compile(r'(?:[^\s"]|"[^"]*")+')
CONDITION = re.compile(r'([A-Za-z][\w-]*)(<=|>=|!=|<|>|=|:)("[^"]*"|[^"]*)')
FAVOURITE = "favourite"
FIELDS = ResolvedExtrapolation.model_fields
"""What can be asked for: the settings of all runs. A run without a setting has its default."""
ALIASES: Mapping[str, str] = {
    "sampler": "solver",
    "scheduler": "schedule",
    "negative_prompt": "negative",
    "guidance_scale": "cfg",
    "num_inference_steps": "steps",
}
"""What else settings are called: on the page, and in SD3's Space."""
ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")

Values: TypeAlias = Mapping[str, object]


@dataclass(frozen=True)
class SettingCondition:
    """What a setting must be: `sign` is `=` or `!=`, or one of ORDER for numbers."""

    name: str
    sign: str
    value: float | str | bool

    def holds(self, values: Values) -> bool:
        """Return whether a run with these settings is meant; one that has no such setting is not."""
        found = values.get(self.name, FIELDS[self.name].default)
        if found is None or (self.name not in values and FIELDS[self.name].is_required()):
            return False
        if self.sign in ORDER:
            number = isinstance(found, int | float) and isinstance(self.value, int | float)
            return number and ORDER[self.sign](float(found), float(self.value))  # type: ignore[arg-type]
        return self._equals(found) == (self.sign == "=")

    def _equals(self, found: object) -> bool:
        if not isinstance(self.value, str):
            return found == self.value
        if choices_of(FIELDS[self.name]):
            return str(found).casefold() == self.value.casefold()
        return plain(self.value) in plain(str(found))  # a text holds the words


@dataclass(frozen=True)
class RunSearch:
    """What is searched for: words of the prompt, settings, and whether only favourites are."""

    words: tuple[str, ...] = ()
    conditions: tuple[SettingCondition, ...] = ()
    favourites: bool = False

    def matches(self, values: Values) -> bool:
        """Return whether a run's settings, as JSON, have all of it; favourites are not looked at here."""
        prompt = plain(str(values.get("prompt", "")))
        return all(word in prompt for word in self.words) and all(
            one.holds(values) for one in self.conditions
        )


def parse_search(text: str) -> RunSearch:
    """Return what a person searches for. Raises Refusal for a condition that no run could be asked."""
    words: list[str] = []
    conditions: list[SettingCondition] = []
    favourites = False
    for token in TOKEN.findall(text):
        match = CONDITION.fullmatch(token)
        if match is None:
            words.append(plain(token.replace('"', "")))
        elif match[1].lower() == "is":
            favourites = _is_favourite(match[3])
        else:
            name, sign, value = match.groups()
            conditions.append(_condition(token, name, "=" if sign == ":" else sign, value.strip('"')))
    return RunSearch(tuple(filter(None, words)), tuple(conditions), favourites)


def plain(text: str) -> str:
    """Return a text as it is compared: in one case and one form."""
    return unicodedata.normalize("NFKC", text).casefold()


def _condition(token: str, name: str, sign: str, value: str) -> SettingCondition:
    known = name.lower().replace("-", "_")
    known = ALIASES.get(known, known)
    if known not in FIELDS:
        near = difflib.get_close_matches(known, [*FIELDS, *ALIASES], n=3)
        nearest = f"nearest are {', '.join(near)}" if near else "cfg, steps, solver and seed are some"
        raise Refusal(
            f"unknown setting {quoted(name)} in the search; {nearest}, and a word with a sign in it goes "
            "between double quotes"
        )
    if not value:
        raise Refusal(f"{token} has no value in the search; write one behind the sign, such as steps<=10")
    field, names = FIELDS[known], choices_of(FIELDS[known])
    if bounds_of(field):
        return SettingCondition(known, sign, _number(known, value, names, sign))
    if sign in ORDER:
        raise Refusal(f"{known} is no number and cannot be {sign} {quoted(value)}; write {known}:{value}")
    if field.annotation is bool:
        if value.lower() not in TRUE + FALSE:
            raise Refusal(f"{known} is {quoted(value)} in the search; it can be true or false")
        return SettingCondition(known, sign, value.lower() in TRUE)
    if names and value.casefold() not in names:
        raise Refusal(f"{known} is {quoted(value)} in the search; it can be {', '.join(names)}")
    return SettingCondition(known, sign, value)


def _number(name: str, value: str, names: tuple[str, ...], sign: str) -> float | str:
    if value in names and sign not in ORDER:
        return value
    try:
        return float(value)
    except ValueError as error:
        raise Refusal(
            f"{name} is compared with {quoted(value)} in the search; give a number, such as {name}{sign}3"
        ) from error


def _is_favourite(value: str) -> bool:
    if value.strip('"').lower() not in (FAVOURITE, f"{FAVOURITE}s", "favorite", "favorites"):
        raise Refusal(f"is:{value} is no search; is:{FAVOURITE} finds the favourites")
    return True
