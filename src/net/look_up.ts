/** Looks names up as the system does: getaddrinfo, so /etc/hosts and DNS alike. */
import { lookup } from "node:dns/promises";

/** Looks a name up; every address it has, none if that failed. */
export type LookUp = (host: string) => Promise<readonly string[]>;

export const systemLookUp: LookUp = async (host) => {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch {
    return []; // why is not told in a way that could be relied on, and would change nothing
  }
};
