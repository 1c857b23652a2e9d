/**
 * The certificates of an HTTPS service: which files they are in, and what to do when these change. Part of the
 * composition root.
 */
import type { Clock } from "../base/clock.ts";
import { FILE_SILENT, inFileTime } from "../base/file_time.ts";
import type { Publish } from "../events/events.ts";
import type { TlsFiles } from "../gateway/tls/listen_tls.ts";
import type { HttpsSettings } from "../gateway/listen.ts";
import { newTicketKeys } from "../linux/ticket_keys.ts";

/** What the options name. */
export interface CertificatePaths {
  /** Files with chains, or folders with such files. */
  readonly tlsCert?: readonly string[] | undefined;
  /** The keys of those that are files, in the same order; none for a file that holds its key as well. */
  readonly tlsKey?: readonly string[] | undefined;
  readonly clientCa?: string | undefined;
}

/** A certificate and its key that belong together, by their paths. */
export interface CertificatePair {
  readonly certPath: string;
  readonly keyPath: string;
}

/** The outcome of a file operation, or an error after its deadline. */
export type InTime = <T>(work: Promise<T>) => Promise<T>;

/** A pair is missing one part; the message says which, for a person. */
export class PairError extends Error {
  override readonly name = "PairError";

  constructor(readonly key: "tlsCert" | "tlsKey", readonly path: string, message: string) {
    super(message);
  }
}

/** More files than this in a folder are not taken for certificates, but for a mistake. */
const PAIRS_MAX = 10_000;
/** How often the files are read, in milliseconds. */
const POLL_MS = 10_000;

/**
 * The pairs of files. In a folder, `NAME.crt` or `NAME.pem` has its key in `NAME.key` or holds it itself; files
 * without a key are left out. Of `inUse` both parts may be gone, but not one of them: it is being replaced. Throws a
 * `PairError`, and errors of the file system.
 */
export async function findPairs(
  { tlsCert = [], tlsKey = [] }: CertificatePaths,
  inTime: InTime,
  inUse: readonly CertificatePair[] = [],
): Promise<CertificatePair[]> {
  const keys = [...tlsKey];
  const pairs: CertificatePair[] = [];
  for (const path of tlsCert) {
    const isFolder = await inTime(Deno.stat(path))
      .then(({ isDirectory }) => isDirectory, () => false);
    if (isFolder) pairs.push(...await pairsIn(path, inTime, inUse));
    else {
      const keyPath = keys.shift() ?? await ownKey(path, inTime);
      if (keyPath === undefined) throw new PairError("tlsCert", path, "there is no tls_key for it");
      pairs.push({ certPath: path, keyPath });
    }
  }
  if (keys[0] !== undefined) {
    throw new PairError("tlsKey", keys[0], "there is no tls_cert for it");
  }
  return pairs;
}

async function pairsIn(
  folder: string,
  inTime: InTime,
  inUse: readonly CertificatePair[],
): Promise<CertificatePair[]> {
  const names = new Set<string>();
  const entries = Deno.readDir(folder)[Symbol.asyncIterator]();
  for (;;) {
    const { done, value } = await inTime(entries.next());
    if (done || names.size > PAIRS_MAX) break;
    names.add(value.name);
  }
  const pairs: CertificatePair[] = [];
  for (const name of [...names].sort()) {
    if (!/\.(crt|pem)$/.test(name)) continue;
    const key = name.replace(/\.(crt|pem)$/, ".key");
    const certPath = `${folder}/${name}`;
    const keyPath = names.has(key) ? `${folder}/${key}` : await ownKey(certPath, inTime);
    if (keyPath !== undefined) pairs.push({ certPath, keyPath });
  }
  const isThere = (path: string) =>
    path.startsWith(`${folder}/`) && names.has(path.slice(folder.length + 1));
  const found = new Set(pairs.map(({ certPath }) => certPath));
  for (const { certPath, keyPath } of inUse) {
    if (found.has(certPath)) continue;
    if (isThere(certPath)) throw new PairError("tlsCert", certPath, "its key is gone");
    if (isThere(keyPath)) throw new PairError("tlsKey", keyPath, "its certificate is gone");
  }
  if (pairs.length > 0) return pairs;
  throw new PairError(
    "tlsCert",
    folder,
    "it holds no certificate with its key (NAME.crt, NAME.key)",
  );
}

/** The text of a file. What is no regular file may never end, and is not read. Throws errors of the file system. */
async function readPem(path: string, inTime: InTime): Promise<string> {
  const { isFile } = await inTime(Deno.stat(path));
  if (!isFile) throw new Error(`${path}: it is no regular file`);
  return await inTime(Deno.readTextFile(path));
}

/** The path itself if the file holds a private key as well. */
async function ownKey(path: string, inTime: InTime): Promise<string | undefined> {
  const text = await readPem(path, inTime).catch(() => "");
  return /^-----BEGIN (\w+ )*PRIVATE KEY-----/m.test(text) ? path : undefined;
}

/** Reads the files. Throws as `findPairs` does. */
async function readAll(
  paths: CertificatePaths,
  inTime: InTime,
  inUse: readonly CertificatePair[],
): Promise<Contents> {
  const certificates: TlsFiles[] = [];
  for (const { certPath, keyPath } of await findPairs(paths, inTime, inUse)) {
    // One after the other: of a file system that does not answer each would keep a thread.
    const cert = await readPem(certPath, inTime);
    const key = await readPem(keyPath, inTime);
    certificates.push({ certPath, keyPath, cert, key });
  }
  const { clientCa: path } = paths;
  const clientCa = path === undefined ? undefined : await readPem(path, inTime);
  return { certificates, clientCa };
}

type Contents = Pick<HttpsSettings, "certificates" | "clientCa">;

/**
 * How long keys for tickets are used, in milliseconds: whoever learns them can read the resumed sessions of TLS 1.2 that
 * he has recorded. A client whose ticket is older makes one full handshake. Tickets are valid for two hours.
 */
const TICKET_KEYS_MS = 12 * 60 * 60 * 1_000;

/** What the watch of certificates needs from outside. */
export interface CertificateWatchParts {
  readonly clock: Clock;
  readonly publish: Publish;
  /** Why these cannot be used, for a person; undefined if they can. What is `inUse` can. */
  readonly objection: (tls: HttpsSettings, inUse: HttpsSettings) => string | undefined;
  /** Takes new certificates over. */
  readonly use: (tls: HttpsSettings) => void;
}

/**
 * Reads the certificates of a service again and again, takes over those that have changed, says which are not valid by
 * their dates, and changes the keys for tickets now and then.
 */
export class CertificateWatch implements Disposable {
  readonly #paths: CertificatePaths;
  readonly #parts: CertificateWatchParts;
  #current: HttpsSettings;
  /** Why those that were read last cannot be used; reported once. */
  #complaint: string | undefined;
  /** What was said of dates. */
  #said: ReadonlySet<string>;
  /** When the keys for tickets were made, by the clock. */
  #keysSince: number;
  /** Operations of the file system that have not ended; late ones as well, each of which keeps a thread. */
  #unanswered = 0;
  #cancel = () => {};
  #isOver = false;

  /** `current`: those that are in use. `former`: the watch before a reload, which is over. */
  constructor(
    paths: CertificatePaths,
    current: HttpsSettings,
    parts: CertificateWatchParts,
    former?: CertificateWatch,
  ) {
    this.#paths = paths;
    this.#current = current;
    this.#parts = parts;
    this.#said = former === undefined ? new Set() : former.#said;
    const isKept = former !== undefined && former.#current.ticketKeys === current.ticketKeys;
    this.#keysSince = isKept ? former.#keysSince : parts.clock.now();
    void this.#lookAtDates();
    this.#later();
  }

  /** Reads them now. Resolves with the reason, for a person, if they cannot be used; the old ones stay then. */
  async reload(): Promise<string | undefined> {
    const why = await this.#read();
    await this.#lookAtDates();
    if (!this.#isOver) this.#renewTicketKeys();
    return why;
  }

  async #read(): Promise<string | undefined> {
    const { clock, objection, use } = this.#parts;
    if (this.#unanswered > 0) return this.#complain(FILE_SILENT);
    const inTime: InTime = (work) => {
      const ended = () => void this.#unanswered--;
      this.#unanswered++;
      work.then(ended, ended);
      return inFileTime(work, clock);
    };
    try {
      const contents = await readAll(this.#paths, inTime, this.#current.certificates);
      if (this.#isOver || isSame(contents, this.#current)) return this.#complain(undefined);
      const next = withKeys(contents, this.#current);
      const why = objection(next, this.#current);
      if (why !== undefined) return this.#complain(why);
      if (next.ticketKeys !== this.#current.ticketKeys) this.#keysSince = clock.now();
      use(next);
      this.#current = next;
      return this.#complain(undefined);
    } catch (error) {
      return this.#complain(reasonOf(error));
    }
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#cancel();
  }

  /** Publishes what was not said when it was called last. */
  async #lookAtDates(): Promise<void> {
    const { clock, publish } = this.#parts;
    const { dateWarnings, authorityWarning } = await import("./certificate_dates.ts");
    if (this.#isOver) return;
    const { certificates, clientCa } = this.#current;
    const lines = dateWarnings(certificates, clock.wall());
    const ofAuthority = clientCa !== undefined &&
      authorityWarning(this.#paths.clientCa!, clientCa, clock.wall());
    if (ofAuthority) lines.push(ofAuthority);
    const said = this.#said;
    this.#said = new Set(lines);
    for (const warning of lines) {
      if (!said.has(warning)) publish({ type: "config.warned", warning });
    }
  }

  #renewTicketKeys(): void {
    const now = this.#parts.clock.now();
    if (now - this.#keysSince < TICKET_KEYS_MS) return;
    this.#keysSince = now;
    this.#current = { ...this.#current, ticketKeys: newTicketKeys() };
    this.#parts.use(this.#current);
  }

  /** Publishes a reason that is new. */
  #complain(reason: string | undefined): string | undefined {
    if (reason !== undefined && reason !== this.#complaint && !this.#isOver) {
      const warning = `the old certificates stay in use: ${reason}`;
      this.#parts.publish({ type: "config.warned", warning });
    }
    return this.#complaint = reason;
  }

  #later(): void {
    this.#cancel = this.#parts.clock.after(POLL_MS, async () => {
      await this.reload();
      if (!this.#isOver) this.#later();
    });
  }
}

/**
 * The settings with the keys for tickets of those before. If clients are certified by another authority now, the keys
 * are new: those whose authority is not trusted any more must not resume a session.
 */
export function withKeys(contents: Contents, before: HttpsSettings | undefined): HttpsSettings {
  const isKept = before !== undefined && contents.clientCa === before.clientCa;
  return { ...contents, ticketKeys: isKept ? before.ticketKeys : newTicketKeys() };
}

function isSame(one: Contents, other: Contents): boolean {
  const text = ({ certificates, clientCa }: Contents) =>
    JSON.stringify([clientCa, certificates.map(({ cert, key }) => [cert, key])]);
  return text(one) === text(other);
}

function reasonOf(error: unknown): string {
  if (error instanceof PairError) return `${error.path}: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}
