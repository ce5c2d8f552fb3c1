"""What can be wrong with an expression. Each class names the code that a caller sees."""


class MalformedError(ValueError):
    code = "malformed-expression"


class UnknownNameError(ValueError):
    code = "unknown-name"


class WrongArgumentsError(ValueError):
    code = "wrong-arguments"


class DivisionByZeroError(ValueError):
    code = "division-by-zero"


class OutOfDomainError(ValueError):
    code = "out-of-domain"


class TooLargeError(ValueError):
    code = "too-large"


class TooComplexError(ValueError):
    code = "too-complex"
