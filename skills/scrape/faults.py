"""What can be wrong with a page or the way to it. Each class names the code that a caller sees."""


class BadUrlError(ValueError):
    code = "bad-url"


class BadSelectorError(ValueError):
    code = "bad-selector"


class DisallowedError(ValueError):
    code = "disallowed"


class RateLimitedError(ValueError):
    code = "rate-limited"


class UnreachableError(ValueError):
    code = "unreachable"


class BadCertificateError(ValueError):
    code = "bad-certificate"


class SlowError(ValueError):
    code = "timeout"


class HttpStatusError(ValueError):
    code = "http-status"


class TooManyRedirectsError(ValueError):
    code = "too-many-redirects"


class TooLargeError(ValueError):
    code = "too-large"


class NotHtmlError(ValueError):
    code = "not-html"
