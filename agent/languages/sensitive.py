"""What a name in code says that a thing is for: a credential, a key, a check of rights, a characteristic of people. In any language."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def words(name: str) -> tuple[str, ...]:
    """`storedPassword`, `stored_password` and `STORED-PASSWORD` are the words stored, password."""
    return tuple(word.lower() for word in _WORD.findall(name))


def _list(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _pairs(text: str) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(pair.split("_")) for pair in text.split())


def _named(name: str, single: frozenset[str], pairs: frozenset[tuple[str, ...]]) -> bool:
    said = words(name)
    return not single.isdisjoint(said) or any(said[at : at + 2] in pairs for at in range(len(said) - 1))


# ---- people -----------------------------------------------------------------------------------------------------------------
# What nobody may be treated by: Charter of Fundamental Rights of the EU, article 21(1), and titles VII and IX of the US Code of equal employment.
_PEOPLE = _list("race racial ethnicity ethnic gender sex religion religious nationality disability caste pregnancy pregnant socioeconomic")
_PEOPLE_PAIRS = _pairs(
    "sexual_orientation gender_identity marital_status family_status national_origin ethnic_origin social_origin social_class social_status "
    "skin_color skin_colour cultural_background native_language mother_tongue political_opinion political_affiliation political_view "
    "immigration_status genetic_feature genetic_features birth_country parent_job parents_job family_wealth"
)  # fmt: skip
# Characteristics of the same list whose names mean other things, too: they count where they are compared with, or looked up as, a class of people.
_CLASSED = _list("age neighborhood neighbourhood culture")


def protected(name: str) -> bool:
    """Whether a name is one of a characteristic that nobody may be treated by."""
    return _named(name, _PEOPLE, _PEOPLE_PAIRS)


def classed(name: str) -> bool:
    return bool(words(name)) and words(name)[-1] in _CLASSED


# ---- credentials, and what must not be guessed --------------------------------------------------------------------------------
_PASSWORD = _list("password passwd passw passwort passphrase passcode pwd")
_CREDENTIAL = _PASSWORD | _list("pin otp secret credential credentials apikey captcha totp cvv")
_CREDENTIAL_PAIRS = _pairs(
    "api_key access_key secret_key private_key security_code security_answer auth_token access_token session_token valid_token expected_token "
    "stored_token correct_token login_token refresh_token access_code auth_code verification_code unlock_code license_key licence_key card_number"
)
# Words of a function that decides whether somebody is who they say.
_ASKING = _list("authenticate authentication authorize authorise auth login signin logon unlock verify check validate credentials credential")
_UNGUESSED = _CREDENTIAL | _list("token salt nonce session csrf keygen")
_UNGUESSED_PAIRS = _CREDENTIAL_PAIRS | _pairs(
    "generate_key gen_key create_key make_key new_key encryption_key crypto_key session_key signing_key session_id reset_code key_gen key_generator "
    "key_generation"
)


def password(name: str) -> bool:
    return _named(name, _PASSWORD, frozenset())


def credential(name: str) -> bool:
    return _named(name, _CREDENTIAL, _CREDENTIAL_PAIRS)


def asks_for_credentials(function: str) -> bool:
    """Whether a function's name says that it decides who somebody is."""
    return _named(function, _ASKING | _CREDENTIAL, _CREDENTIAL_PAIRS)


def unguessed(name: str) -> bool:
    """Whether what goes by that name is of worth only while nobody can guess it."""
    return _named(name, _UNGUESSED, _UNGUESSED_PAIRS)


# ---- rights -----------------------------------------------------------------------------------------------------------------
_ASKS = _list("is has can may check verify require requires ensure")
_RIGHTS = _list(
    "admin administrator auth authorized authorised authorization authorisation permission permissions permitted allowed access privilege privileges "
    "privileged right rights role owner clearance superuser moderator"
)
OPPOSITES = _pairs("raise_lower elevate_drop elevate_lower gain_drop acquire_release lock_unlock enable_disable grant_revoke escalate_drop")


def asks(function: str) -> bool:
    """Whether a function's name is a question with yes or no for an answer."""
    return words(function)[:1] != () and words(function)[0] in _ASKS


def asks_for_rights(function: str) -> bool:
    return asks(function) and not _RIGHTS.isdisjoint(words(function))


def opposite(first: str, second: str) -> bool:
    """Whether `second` takes back what `first` does, by their names: `raisePrivileges` and `lowerPrivileges`."""
    one, other = words(first), words(second)
    return any(way in one and back in other and _without(one, way) == _without(other, back) for way, back in OPPOSITES)


def _without(said: Iterable[str], word: str) -> tuple[str, ...]:
    return tuple(other for other in said if other != word)


# ---- validation ---------------------------------------------------------------------------------------------------------------
_VALIDATES = _list("valid validate validates validator validation isvalid")
_ADDRESS = _list("ip ipv ipaddr ipaddress")


def validates(name: str) -> bool:
    return not _VALIDATES.isdisjoint(words(name))


def about_addresses(name: str) -> bool:
    return not _ADDRESS.isdisjoint(words(name))
