/** What TLS has found wrong with a connection that was open; the message says it to a person. */
export class TlsFailure extends Error {
  override readonly name = "TlsFailure";
}

/** The words for a fault that `error` has caused; undefined if the fault's own words say it all. */
export function tlsDetail(error: unknown): string | undefined {
  return error instanceof TlsFailure ? error.message : undefined;
}
