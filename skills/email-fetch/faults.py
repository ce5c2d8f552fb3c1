"""What can be wrong with a mailbox or the way to it. Each class names the code that a caller sees."""


class NoSecretError(ValueError):
    code = "no-secret"


class RefusedLoginError(ValueError):
    code = "refused-login"


class NoSuchFolderError(ValueError):
    code = "no-such-folder"


class NoSuchMessageError(ValueError):
    code = "no-such-message"


class UnreachableError(ValueError):
    code = "unreachable"


class BadCertificateError(ValueError):
    code = "bad-certificate"


class SlowError(ValueError):
    code = "timeout"


class ServerError(ValueError):
    code = "server-error"
