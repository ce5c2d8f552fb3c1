// What the test bed is told of a run of `node --test`: one JSON object a line, for each test and for the coverage.
const TOLD = new Set(['test:start', 'test:pass', 'test:fail']);

export default async function* reporter(source) {
  for await (const { type, data } of source) {
    if (type === 'test:coverage') {
      const files = data.summary.files.map((file) => [file.path, file.lines.filter((line) => !line.count).map((line) => line.line)]);
      yield `${JSON.stringify({ type, files })}\n`;
    } else if (TOLD.has(type)) {
      const { name, nesting, file, line, skip, todo, details } = data;
      const error = details?.error;
      const cause = error?.cause ?? error;
      const suite = details?.type === 'suite';
      const message = error && String(cause?.message ?? cause);
      const took = details?.duration_ms;
      const known = { type, name, nesting, file, line, suite, took, skipped: Boolean(skip || todo), message, stack: String(cause?.stack ?? '') };
      yield `${JSON.stringify({ ...known, failure: error?.failureType, kind: cause?.name })}\n`;
    }
  }
}
