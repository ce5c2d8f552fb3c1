"""What can be wrong with a table. Each class names the code that a caller sees."""


class EmptyTableError(ValueError):
    code = "empty-table"


class MalformedCsvError(ValueError):
    code = "malformed-csv"


class RaggedRowError(ValueError):
    code = "ragged-row"


class BadHeaderError(ValueError):
    code = "bad-header"


class BadDelimiterError(ValueError):
    code = "bad-delimiter"
