// What can be wrong with a search. `code` is what a caller sees.
export class Fault extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}
