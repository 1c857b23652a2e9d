/**
 * Checks, before anything starts, all files that options name: programs, certificates, pages and folders. A
 * file that cannot be used is an error in one line, with its path and its option. Part of the composition
 * root.
 */
import { type Clock, realClock } from "../base/clock.ts";
import { inFileTime } from "../base/file_time.ts";
import { quote } from "../config/kinds.ts";
import {
  type Config,
  type HttpConfig,
  type Key,
  type ServiceConfig,
  yamlKeyOf,
} from "../config/options.ts";
import { whyUnreadable } from "../config/unreadable.ts";
import type { ErrorPage } from "../gateway/error_page.ts";
import type { HttpsSettings } from "../gateway/listen.ts";
import type { TlsFiles } from "../gateway/tls/listen_tls.ts";
import type { CertifiedKey } from "../net/transport.ts";
import { newTicketKeys } from "../linux/ticket_keys.ts";
import { type CertificatePair, findPairs, PairError } from "./certificates.ts";
import { checkAdminToken } from "./admin_token.ts";
import type { PairTrial } from "./openssl.ts";
import { hasCertificate, NO_CERTIFICATE, pairObjections, whyNoAuthorities } from "./pem.ts";
import { checkCoordinatorFiles } from "./coordination.ts";
import { checkStateDir } from "./state_dir.ts";
import { opensslReason } from "./threads.ts";
import { findCheck, findTriggers, type FoundPrograms } from "../hooks/find.ts";

/** The programs of one service that were found. */
export interface ProgramFiles {
  /** Warnings about the check program and the triggers. */
  readonly warnings: readonly string[];
  /** Those of the warnings that concern triggers, which are checked again at each promotion. */
  readonly triggerWarnings: readonly string[];
}

/** The contents of the files that an HTTP service needs while it runs. */
export interface HttpFiles {
  /** Certificate authorities to trust for upstreams in addition to the system's, as PEM. */
  readonly caCerts: readonly string[] | undefined;
  /** The operator's error page; undefined for the built-in one. */
  readonly errorPage: ErrorPage | undefined;
  /** How HTTPS is served, if it is. */
  readonly https: HttpsSettings | undefined;
  /** What is shown to upstreams that ask for a certificate. */
  readonly upstreamCertificate: CertifiedKey | undefined;
}

/** The result of a check, and the errors, one line each. If there are errors, `found` must not be used. */
export interface CheckedFiles<T> {
  readonly found: T;
  readonly errors: string[];
}

/**
 * Checks the files of all services. `found` holds the programs of each service, in the order of the
 * services.
 */
export async function checkFiles(
  config: Config,
  clock: Clock = realClock,
): Promise<CheckedFiles<readonly ProgramFiles[]>> {
  const checks = config.services.map((service) => new FileCheck(service, clock));
  const found = await Promise.all(checks.map((check) => check.programs()));
  await Promise.all(checks.map((check) => check.http()));
  await Promise.all(checks.map((check) => check.database()));
  const ofProcess = await Promise.all([
    checkStateDir(config.process),
    checkAdminToken(config.process, clock),
  ]);
  const errors = [
    ...checks.flatMap(({ errors }) => errors),
    ...ofProcess.filter((line) => line !== undefined),
    ...await checkCoordinatorFiles(config.process, clock),
  ];
  // An error in a file that services share is reported once.
  return { found, errors: [...new Set(errors)] };
}

/** Reads the files of an HTTP service. Called at each start of the service, so the contents are current. */
export async function readHttpFiles(
  service: HttpConfig,
  clock: Clock,
): Promise<CheckedFiles<HttpFiles>> {
  const check = new FileCheck(service, clock);
  return { found: await check.http(), errors: check.errors };
}

/** Checks the files of one service. */
class FileCheck {
  readonly errors: string[] = [];
  readonly #service: ServiceConfig;
  readonly #clock: Clock;

  constructor(service: ServiceConfig, clock: Clock) {
    this.#service = service;
    this.#clock = clock;
  }

  async programs(): Promise<ProgramFiles> {
    const { checkHost, onFailover } = this.#service;
    const check = await this.#programs("checkHost", checkHost, findCheck);
    const triggers = await this.#programs("onFailover", onFailover, findTriggers);
    const triggerWarnings = triggers?.warnings ?? [];
    return { warnings: [...check?.warnings ?? [], ...triggerWarnings], triggerWarnings };
  }

  async #programs(
    key: Key,
    path: string | undefined,
    find: (path: string) => Promise<FoundPrograms>,
  ): Promise<FoundPrograms | undefined> {
    if (path === undefined) return undefined;
    try {
      const found = await this.#inTime(find(path));
      for (const line of found.errors) {
        this.#error(key, path, line.startsWith(`${path}: `) ? line.slice(path.length + 2) : line);
      }
      return found;
    } catch (error) {
      this.#error(key, path, whyUnreadable(error));
    }
  }

  /** What is read for each connection to a database: a password, and authorities to trust. */
  async database(): Promise<void> {
    if (this.#service.mode !== "tcp") return;
    const { checkPasswordFile, checkCaFile } = this.#service;
    if (checkPasswordFile !== undefined) await this.#check("checkPasswordFile", checkPasswordFile);
    const pem = decoded(await this.#read("checkCaFile", checkCaFile));
    if (pem !== undefined && !hasCertificate(pem)) {
      this.#error("checkCaFile", checkCaFile!, NO_CERTIFICATE);
    }
  }

  async http(): Promise<HttpFiles> {
    const service = this.#service;
    if (service.mode !== "http") return NO_HTTP;
    for (const target of service.backup ?? []) {
      if (target.kind === "page") await this.#check("backup", target.path, target.written);
      if (target.kind === "folder") await this.#folder("backup", target.path, target.written);
    }
    const page = await this.#read("errorPage", service.errorPage);
    const isHtml = /\.html?$/i.test(service.errorPage ?? "");
    const contentType = `text/${isHtml ? "html" : "plain"}; charset=utf-8`;
    using trial = await trialFor(service);
    return {
      caCerts: await this.#authorities("caFile", service.caFile),
      errorPage: page === undefined ? undefined : { contentType, bytes: page },
      https: await this.#https(service, trial),
      upstreamCertificate: await this.#pair(
        { certPath: service.upstreamCert, keyPath: service.upstreamKey },
        ["upstreamCert", "upstreamKey"],
        trial,
      ),
    };
  }

  async #authorities(key: Key, path: string | undefined): Promise<readonly string[] | undefined> {
    const pem = decoded(await this.#read(key, path));
    if (path === undefined || pem === undefined) return undefined;
    const why = whyNoAuthorities(pem);
    if (why !== undefined) this.#error(key, path, why);
    return [pem];
  }

  async #https(
    service: HttpConfig,
    trial: PairTrial | undefined,
  ): Promise<HttpsSettings | undefined> {
    if (service.tlsCert === undefined) return undefined;
    const clientCa = (await this.#authorities("clientCa", service.clientCa))?.[0];
    const certificates: TlsFiles[] = [];
    for (const paths of await this.#pairs(service)) {
      // The key of a folder, or of a file that holds both, was not named by an option of its own.
      const isNamed = service.tlsKey?.includes(paths.keyPath) === true;
      const pair = await this.#pair(paths, ["tlsCert", isNamed ? "tlsKey" : "tlsCert"], trial);
      if (pair !== undefined) certificates.push({ ...paths, ...pair });
    }
    if (certificates.length === 0) return undefined;
    return { certificates, clientCa, ticketKeys: newTicketKeys() };
  }

  async #pairs(service: HttpConfig): Promise<readonly CertificatePair[]> {
    try {
      return await findPairs(service, (work) => this.#inTime(work));
    } catch (error) {
      if (error instanceof PairError) this.#error(error.key, error.path, error.message);
      else this.#error("tlsCert", service.tlsCert!.join(","), whyUnreadable(error));
      return [];
    }
  }

  /** A certificate and its key; undefined if there is none, or after an error. */
  async #pair(
    { certPath, keyPath }: {
      readonly certPath?: string | undefined;
      readonly keyPath?: string | undefined;
    },
    [certOption, keyOption]: readonly [Key, Key],
    trial: PairTrial | undefined,
  ): Promise<CertifiedKey | undefined> {
    const cert = decoded(await this.#read(certOption, certPath));
    const key = decoded(await this.#read(keyOption, keyPath));
    // `validate.ts` has refused one without the other.
    if (cert === undefined || key === undefined) return undefined;
    for (const { part, why } of pairObjections({ cert, key }, certPath!, trial)) {
      if (part === "cert") this.#error(certOption, certPath!, why);
      else this.#error(keyOption, keyPath!, why);
    }
    return { cert, key };
  }

  /** The bytes of a file; undefined after an error or without a path. */
  async #read(key: Key, path: string | undefined): Promise<Uint8Array | undefined> {
    if (path === undefined || !await this.#check(key, path)) return undefined;
    try {
      return await this.#inTime(Deno.readFile(path));
    } catch (error) {
      this.#error(key, path, whyUnreadable(error));
    }
  }

  /** Adds an error unless the path is a file that can be read. */
  async #check(key: Key, path: string, written = path): Promise<boolean> {
    try {
      const { isFile, isDirectory } = await this.#inTime(Deno.stat(path));
      // Reading from a pipe or a device may never end.
      const why = isDirectory ? "it is a directory" : "it is no regular file";
      if (!isFile) this.#error(key, written, why);
      else (await this.#inTime(Deno.open(path))).close();
      return isFile;
    } catch (error) {
      this.#error(key, written, whyUnreadable(error));
      return false;
    }
  }

  async #folder(key: Key, path: string, written: string): Promise<void> {
    try {
      // Opens the file too, because permission to read it may be missing.
      const entries = Deno.readDir(path)[Symbol.asyncIterator]();
      await this.#inTime(entries.next());
      await entries.return?.();
    } catch (error) {
      const missing = error instanceof Deno.errors.NotFound;
      const file = error instanceof Deno.errors.NotADirectory;
      const why = missing ? "there is no such folder" : file ? "it is not a folder" : undefined;
      this.#error(key, written, why ?? whyUnreadable(error));
    }
  }

  /** The result of `work`; rejects after the deadline for file systems. */
  #inTime<T>(work: Promise<T>): Promise<T> {
    return inFileTime(work, this.#clock);
  }

  #error(key: Key, written: string, why: string): void {
    const from = this.#service.origins[key];
    this.errors.push(`Cannot use ${quote(written)} as ${yamlKeyOf(key)}: ${why} (from ${from})`);
  }
}

/** What tries certificates with their keys, if a service has some that OpenSSL will use. */
async function trialFor(
  { tlsCert, upstreamCert, relay }: HttpConfig,
): Promise<PairTrial | undefined> {
  if (relay === "stream" || (tlsCert ?? upstreamCert) === undefined) return undefined;
  if (await opensslReason() !== undefined) return undefined;
  return new (await import("./openssl.ts")).PairTrial();
}

const NO_HTTP: HttpFiles = {
  caCerts: undefined,
  errorPage: undefined,
  https: undefined,
  upstreamCertificate: undefined,
};

function decoded(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}
