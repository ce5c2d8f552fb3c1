"""What can go wrong. Each class names the code that a caller sees."""


class MissingInputError(ValueError):
    code = "missing-input"


class MalformedJsonError(ValueError):
    code = "malformed-json"


class MalformedPathError(ValueError):
    code = "malformed-path"


class NotFoundError(ValueError):
    code = "not-found"


class InvalidSchemaError(ValueError):
    code = "invalid-schema"


class UnsupportedKeywordError(ValueError):
    code = "unsupported-keyword"


class NotConvertibleError(ValueError):
    code = "not-convertible"


class TooComplexError(ValueError):
    code = "too-complex"
