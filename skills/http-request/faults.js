// What can be wrong with a request or its reply. `code` is what a caller sees.
'use strict';

class Fault extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

const HOSTS = ['ENOTFOUND', 'EAI_AGAIN'];
const CERTIFICATES = /^(CERT_|ERR_TLS_CERT|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED_CERT|UNABLE_TO_(GET|VERIFY)|HOSTNAME_MISMATCH)/;

// What an error of Node's network means for who asked.
function meant(error, host) {
  if (error instanceof Fault) return error;
  const told = String(error.code ?? error.name);
  if (told === 'ABORT_ERR' || told === 'AbortError' || told === 'TimeoutError') return new Fault('timeout', 'no full reply came in time');
  if (HOSTS.includes(told)) return new Fault('unknown-host', `there is no host ${host}, or this skill may not reach it`);
  if (CERTIFICATES.test(told)) return new Fault('bad-certificate', `${host} cannot prove who it is: ${error.message}`);
  if (told.startsWith('HPE_') || told.startsWith('Z_')) return new Fault('bad-reply', `${host} does not reply as HTTP asks: ${error.message}`);
  return new Fault('unreachable', `${host} could not be reached: ${error.message || told}`);
}

module.exports = { Fault, meant };
