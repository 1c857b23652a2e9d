/**
 * A client of etcd's JSON gateway (API v3, etcd 3.4 and newer; etcd's documentation, "API reference: gRPC
 * gateway"). What the gateway does unlike the API's own form: numbers of 64 bits are text, fields with the
 * value of their default are left out (`succeeded` of a transaction that failed, `TTL` of a lease that has
 * ended), keys and values are base64, and errors of a stream come with status 200.
 */
import type { Clock } from "../base/clock.ts";
import { withDeadline } from "../base/deadline.ts";
import { boundedJson, boundedLines } from "./bounded_body.ts";
import {
  type Condition,
  type Etcd,
  EtcdError,
  type KeyChange,
  type Reading,
  type TxnResult,
} from "./etcd.ts";
import {
  type AnswerFields,
  asEtcdError,
  type EtcdFailure,
  failureOf,
  headerOf,
  isTokenOver,
  mayPass,
  refusal,
} from "./answer.ts";
import { encode64, objectIn, prefixEnd, textIn } from "./gateway_json.ts";
import { grantOf, readingOf, revisionOf, secondsIn } from "./answer_values.ts";
import { Freshness, type Mark } from "./freshness.ts";
import type { EtcdUser, Login } from "./login.ts";

/** The certificates of a connection by TLS, as PEM text. */
export interface ClientTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/**
 * Looks names up. `fetch` does so as well, but each of its look-ups occupies a thread as long as the name
 * service is silent, and file operations and programs need these threads too.
 */
export interface EndpointNames {
  /** The addresses of a name, best first; empty if it has none. May stay pending. */
  addressesOf(host: string): Promise<readonly string[]>;
  /** A connection to this address was made, or not. */
  tried(host: string, ip: string, isConnected: boolean): void;
  /** Whether `fetch` may look this name up itself now, since it may not be connected to it. */
  mayLookUp(host: string): boolean;
}

/** Where etcd is, and who we are there. */
export interface EtcdSettings {
  /** `http://host:port` or `https://host:port`, at least one. */
  readonly endpoints: readonly string[];
  /** All keys begin with it. */
  readonly prefix: string;
  /** The log-in, if etcd asks for one. Clients with the same user share it. */
  readonly login?: Login;
  /** Read when a connection is made for the first time, and again after calls have failed. */
  readonly tls?: () => Promise<ClientTls>;
  /** Looks up the names of endpoints; without it `fetch` does. */
  readonly names?: EndpointNames;
  /** How long one endpoint may take for one answer, in milliseconds. */
  readonly callMs: number;
}

/** Shortest time between two readings of the files of certificates, in milliseconds. */
const REREAD_MS = 10_000;

/** What one endpoint answered. */
interface Answer {
  readonly answer: AnswerFields;
  /** Set if it is an error. */
  readonly failure: EtcdFailure | undefined;
}

/** One client for one prefix. Calls may overlap. Dispose it to close its connections. */
export class EtcdClient implements Etcd, Disposable {
  readonly #settings: EtcdSettings;
  readonly #clock: Clock;
  readonly #fresh = new Freshness();
  readonly #stop = new AbortController();
  #place = 0;
  #http: Promise<Deno.HttpClient | undefined> | undefined;
  #rereadAt = -Infinity;
  #trouble: string | undefined;
  /** The names whose last call failed: there may be no connection to them any more. */
  readonly #failed = new Set<string>();

  constructor(settings: EtcdSettings, clock: Clock) {
    if (settings.endpoints.length === 0) throw new Error("Cannot use etcd without an endpoint");
    this.#settings = settings;
    this.#clock = clock;
  }

  /** The endpoint that the next call asks first. */
  get endpoint(): string {
    return this.#settings.endpoints[this.#place]!;
  }

  get trouble(): string | undefined {
    return this.#trouble;
  }

  async read(): Promise<Reading> {
    const { prefix } = this.#settings;
    const range = { key: encode64(prefix), range_end: prefixEnd(prefix) };
    return await this.#ask("kv/range", range, true, (answer) => readingOf(answer, prefix));
  }

  async transact(
    conditions: readonly Condition[],
    changes: readonly KeyChange[],
  ): Promise<TxnResult> {
    const compare = conditions.map((each) => this.#compare(each));
    const success = changes.map((each) => this.#request(each));
    return await this.#ask("kv/txn", { compare, success }, false, (answer) => ({
      succeeded: answer.succeeded === true,
      revision: revisionOf(answer),
    }));
  }

  async grant(ttlS: number): Promise<{ readonly id: string; readonly ttlS: number }> {
    return await this.#ask("lease/grant", { TTL: String(ttlS) }, true, grantOf);
  }

  /** One POST for each renewal: a stream of renewals is not reliable through the gateway. */
  async renew(lease: string): Promise<number> {
    return await this.#ask("lease/keepalive", { ID: lease }, true, secondsIn);
  }

  async revoke(lease: string): Promise<void> {
    try {
      await this.#ask("lease/revoke", { ID: lease }, true, () => {});
    } catch (error) {
      if (!(error instanceof EtcdError && error.kind === "leaseGone")) throw error;
    }
  }

  async watch(onChange: () => void, signal: AbortSignal): Promise<void> {
    const { endpoint } = this;
    const { prefix, login, callMs } = this.#settings;
    const body = { create_request: { key: encode64(prefix), range_end: prefixEnd(prefix) } };
    const stream = new AbortController();
    const end = () => stream.abort();
    const sources = [signal, this.#stop.signal];
    for (const source of sources) source.addEventListener("abort", end);
    if (sources.some(({ aborted }) => aborted)) end();
    let cancel = () => {};
    try {
      const token = await login?.tokenFrom(endpoint, (user) => this.#logIn(endpoint, user));
      // Only the head of the answer has a deadline; the stream lasts.
      cancel = this.#clock.after(callMs, end);
      const response = await this.#post(endpoint, "watch", body, stream.signal, token);
      cancel();
      for await (const line of boundedLines(response, stream.signal)) {
        const { result, error } = objectIn(JSON.parse(line));
        if (error !== undefined || objectIn(result ?? {}).canceled === true) return;
        onChange();
      }
    } catch (error) {
      if (!sources.some(({ aborted }) => aborted)) throw asEtcdError(error);
    } finally {
      cancel();
      for (const source of sources) source.removeEventListener("abort", end);
    }
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
    this.#close();
  }

  #compare(condition: Condition): object {
    const key = encode64(this.#settings.prefix + condition.key);
    if ("value" in condition) {
      return { key, target: "VALUE", value: encode64(condition.value) };
    }
    return "modRevision" in condition
      ? { key, target: "MOD", mod_revision: String(condition.modRevision) }
      : { key, target: "CREATE", create_revision: String(condition.createRevision) };
  }

  #request(change: KeyChange): object {
    const { prefix } = this.#settings;
    if ("remove" in change) {
      return { request_delete_range: { key: encode64(prefix + change.remove) } };
    }
    const { put, value, lease } = change;
    const key = encode64(prefix + put);
    return {
      request_put: { key, value: encode64(value), ...lease === undefined ? {} : { lease } },
    };
  }

  /**
   * Asks one endpoint after another until one gives an answer that `read` understands. A call that must not be made
   * twice goes to one only, unless that one refused it without doing anything.
   */
  async #ask<T>(
    path: string,
    body: object,
    mayRepeat: boolean,
    read: (answer: AnswerFields) => T,
  ): Promise<T> {
    const reasons: string[] = [];
    const { login } = this.#settings;
    let token: string | undefined;
    let hasRenewed = false;
    for (let tries = 0; tries < this.#settings.endpoints.length;) {
      const { endpoint } = this;
      try {
        token = await login?.tokenFrom(endpoint, (user) => this.#logIn(endpoint, user));
        const sent = path.startsWith("kv/") ? this.#fresh.mark : undefined;
        const { answer, failure } = await this.#call(endpoint, path, body, token);
        if (failure === undefined) return this.#checked(endpoint, answer, sent, read);
        if (isTokenOver(failure) && login !== undefined && !hasRenewed) {
          // Nothing was done without a valid token.
          hasRenewed = true;
          login.mayBeOver(token);
          continue;
        }
        if (!mayPass(failure)) throw refusal(failure);
        reasons.push(`${endpoint}: ${failure.message}`);
      } catch (error) {
        if (error instanceof EtcdError && error.kind !== "unreachable") throw error;
        reasons.push(`${endpoint}: ${asEtcdError(error).message}`);
      }
      this.#trouble = reasons.join("; ");
      this.#next();
      tries++;
      if (!mayRepeat) break;
    }
    this.#rereadFiles();
    // Some versions close the connection of a token that has expired, and say nothing.
    login?.mayBeOver(token);
    throw new EtcdError("unreachable", reasons.join("; "));
  }

  #next(): void {
    this.#place = (this.#place + 1) % this.#settings.endpoints.length;
  }

  #checked<T>(
    endpoint: string,
    answer: AnswerFields,
    sent: Mark | undefined,
    read: (answer: AnswerFields) => T,
  ): T {
    const header = headerOf(answer);
    // What is no answer of etcd must not say to which cluster the others have to belong.
    const value = read(answer);
    const why = this.#fresh.objection(header, sent);
    if (why === undefined) {
      this.#trouble = undefined;
      return value;
    }
    this.#next();
    throw new EtcdError("stale", `${endpoint}: ${why}`);
  }

  async #logIn(endpoint: string, user: EtcdUser): Promise<string | undefined> {
    const body = { name: user.name, password: await user.password() };
    const { answer, failure } = await this.#call(endpoint, "auth/authenticate", body, undefined);
    if (failure !== undefined) {
      if (mayPass(failure)) throw new EtcdError("unreachable", failure.message);
      // etcd without users takes everybody.
      if (/authentication is not enabled/.test(failure.message)) return undefined;
      throw refusal(failure);
    }
    return textIn(answer, "token");
  }

  /** One call to one endpoint. */
  async #call(
    endpoint: string,
    path: string,
    body: object,
    token: string | undefined,
  ): Promise<Answer> {
    using late = withDeadline(this.#stop.signal, this.#settings.callMs, this.#clock);
    try {
      const response = await this.#post(endpoint, path, body, late.signal, token);
      const whole = objectIn(await boundedJson(response, late.signal));
      const failure = failureOf(whole, response.status);
      // Answers of a stream, of which a renewal gets the first one.
      return { failure, answer: whole.result === undefined ? whole : objectIn(whole.result) };
    } catch (error) {
      if (late.isLate) throw new EtcdError("unreachable", "no answer in time");
      throw asEtcdError(error);
    }
  }

  async #post(
    endpoint: string,
    path: string,
    body: object,
    signal: AbortSignal,
    token: string | undefined,
  ): Promise<Response> {
    // After the disposal nothing closes another client.
    signal.throwIfAborted();
    const client = await (this.#http ??= this.#connectBy());
    const { names } = this.#settings;
    const url = new URL(`${endpoint}/v3/${path}`);
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const ip = names === undefined ? undefined : await firstAddress(names, host, signal);
    // A certificate is checked against the name, which `fetch` looks up again.
    if (ip !== undefined && url.protocol === "http:") {
      url.hostname = ip.includes(":") ? `[${ip}]` : ip;
    } else if (ip !== undefined && this.#failed.has(host) && names?.mayLookUp(host) === false) {
      throw new EtcdError("unreachable", `the name service does not answer for ${host}`);
    }
    const response = this.#send(url, body, signal, token, client);
    if (ip !== undefined) {
      const tried = (isConnected: boolean) => {
        if (isConnected) this.#failed.delete(host);
        else this.#failed.add(host);
        names?.tried(host, ip, isConnected);
      };
      response.then(() => tried(true), () => tried(false));
    }
    return await response;
  }

  #send(
    url: URL,
    body: object,
    signal: AbortSignal,
    token: string | undefined,
    client: Deno.HttpClient | undefined,
  ): Promise<Response> {
    return fetch(url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...token === undefined ? {} : { authorization: token },
      },
      body: JSON.stringify(body),
      redirect: "error",
      signal,
      ...client === undefined ? {} : { client },
    });
  }

  async #connectBy(): Promise<Deno.HttpClient | undefined> {
    const { ca, cert, key } = await this.#settings.tls?.() ?? {};
    return Deno.createHttpClient({
      ...ca === undefined ? {} : { caCerts: [ca] },
      ...cert === undefined || key === undefined ? {} : { cert, key },
      http2: false,
    });
  }

  /** Files of certificates are read again for the next call, but not after each of many failures. */
  #rereadFiles(): void {
    const now = this.#clock.now();
    if (this.#settings.tls === undefined || now - this.#rereadAt < REREAD_MS) return;
    this.#rereadAt = now;
    this.#close();
  }

  #close(): void {
    const client = this.#http;
    this.#http = undefined;
    client?.then((each) => each?.close(), () => {});
  }
}

/** The address to try; rejects if there is none, or if the signal is aborted before it is known. */
async function firstAddress(
  names: EndpointNames,
  host: string,
  signal: AbortSignal,
): Promise<string> {
  const silent = Promise.withResolvers<never>();
  const onAbort = () =>
    silent.reject(new EtcdError("unreachable", `no address of ${host} in time`));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal.aborted) onAbort();
    const [ip] = await Promise.race([names.addressesOf(host), silent.promise]);
    if (ip !== undefined) return ip;
    throw new EtcdError("unreachable", `${host} has no address`);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
