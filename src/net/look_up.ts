/** Looks names up as the system does: getaddrinfo, so /etc/hosts and DNS alike. */

/** Looks a name up: all its addresses, or none if the look-up failed. */
export type LookUp = (host: string) => Promise<readonly string[]>;

/** The system's resolver. Rejects never. */
export const systemLookUp: LookUp = async (host) => {
  try {
    // Loaded with the first name: it takes some megabytes, which a proxy without names does not need.
    const { lookup } = await import("node:dns/promises");
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch {
    return []; // the error does not say reliably why, and no caller would act differently
  }
};
