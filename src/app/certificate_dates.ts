/**
 * Says which certificates for clients are not valid by their dates. They are served all the same: whoever has put them
 * there may have no others, and some clients don't care. Loaded only where TLS is configured. Part of the composition
 * root.
 */
import { X509Certificate } from "node:crypto";
import type { TlsFiles } from "../gateway/tls/listen_tls.ts";

const DAY_MS = 24 * 60 * 60 * 1_000;
/** Days before its end in which a certificate should have been renewed: those of ninety days are after sixty. */
const SOON_DAYS = 7;
/** What the clock of an authority may be ahead of ours. */
const SKEW_MS = 60_000;

/** One line, for a person, for each certificate that has expired, will soon, or is not valid yet. `wall` is in ms since 1970. */
export function dateWarnings(certificates: readonly TlsFiles[], wall: number): string[] {
  return certificates.map(({ certPath, cert }) => {
    const why = whyNotValid(cert, wall);
    return why === undefined ? undefined : `the certificate in ${certPath} ${why}`;
  }).filter((line) => line !== undefined);
}

function whyNotValid(pem: string, wall: number): string | undefined {
  const dates = datesOf(pem);
  if (dates === undefined) return undefined;
  const [from, to] = dates;
  if (wall > to) return `has expired on ${dayOf(to)}`;
  if (wall + SKEW_MS < from) return `is not valid before ${dayOf(from)}`;
  const days = Math.floor((to - wall) / DAY_MS);
  if (days >= SOON_DAYS) return undefined;
  return `expires on ${dayOf(to)}, in ${days === 0 ? "less than a day" : `${days} days`}`;
}

/** Of the first certificate of a text; undefined if they cannot be read, which is for others to say. */
function datesOf(pem: string): [number, number] | undefined {
  try {
    const { validFrom, validTo } = new X509Certificate(pem);
    const dates: [number, number] = [Date.parse(validFrom), Date.parse(validTo)];
    return dates.some(Number.isNaN) ? undefined : dates;
  } catch {
    return undefined;
  }
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
