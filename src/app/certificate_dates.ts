/**
 * Says which certificates are not valid by their dates. They are used all the same: whoever has put them
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

/** A certificate, and where it was read. */
type DatedFile = Pick<TlsFiles, "certPath" | "cert">;

/** One line, for a person, for each certificate that has expired, will soon, or is not valid yet. `wall` is in ms since 1970. */
export function dateWarnings(certificates: readonly DatedFile[], wall: number): string[] {
  return certificates.map((file) => {
    const why = whyNotValid(datesOf(file), wall);
    return why === undefined ? undefined : `the certificate in ${file.certPath} ${why}`;
  }).filter((line) => line !== undefined);
}

/**
 * One line, for a person, if none of the certificates by which clients must be certified can do that. One of several
 * that has expired or is none of an authority is no mistake: bundles keep what they replace.
 */
export function authorityWarning(path: string, pem: string, wall: number): string | undefined {
  const texts = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  const all = texts.map(parsed).filter((each) => each !== undefined);
  if (all.length === 0) return undefined;
  if (!all.some(({ isAuthority }) => isAuthority)) {
    return `no certificate in ${path} is one of an authority: only clients with one of just these are served`;
  }
  // The one that is valid for longest says most.
  const latest = all.reduce((one, other) => one.dates[1] >= other.dates[1] ? one : other);
  const why = whyNotValid(latest.dates, wall);
  return why === undefined ? undefined : `the authority of clients in ${path} ${why}`;
}

function whyNotValid(dates: Dates | undefined, wall: number): string | undefined {
  if (dates === undefined) return undefined;
  const [from, to] = dates;
  if (wall > to) return `has expired on ${dayOf(to)}`;
  if (wall + SKEW_MS < from) return `is not valid before ${dayOf(from)}`;
  const days = Math.floor((to - wall) / DAY_MS);
  if (days >= SOON_DAYS) return undefined;
  return `expires on ${dayOf(to)}, in ${days === 0 ? "less than a day" : `${days} days`}`;
}

type Dates = readonly [from: number, to: number];

/** Of certificates that were looked at already, since they are looked at again and again. */
const KNOWN = new WeakMap<DatedFile, Dates | undefined>();

/** Of the first certificate of a file; undefined if they cannot be read, which is for others to say. */
function datesOf(file: DatedFile): Dates | undefined {
  if (!KNOWN.has(file)) KNOWN.set(file, parsed(file.cert)?.dates);
  return KNOWN.get(file);
}

function parsed(pem: string): { readonly dates: Dates; readonly isAuthority: boolean } | undefined {
  try {
    const { validFrom, validTo, ca, subject, issuer } = new X509Certificate(pem);
    const dates: Dates = [Date.parse(validFrom), Date.parse(validTo)];
    // Old roots do not say that they are authorities.
    return dates.some(Number.isNaN) ? undefined : { dates, isAuthority: ca || subject === issuer };
  } catch {
    return undefined;
  }
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
