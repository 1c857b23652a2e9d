/** What OpenSSL needs to dial the upstreams of services, made when it is first used and kept until `close`. */
import { isIp } from "../base/ip.ts";
import { TlsClientContext, type TlsPeer } from "../linux/tls_client.ts";
import type { DialOptions, DialTls } from "./transport.ts";

/** One context for each content of a `DialTls`, of one thread. */
export class TlsContexts {
  readonly #all = new Map<string, TlsClientContext>();
  readonly #known = new WeakMap<DialTls, TlsClientContext>();

  /** Throws a `PemError` if a certificate cannot be used. */
  of(tls: DialTls): TlsClientContext {
    const known = this.#known.get(tls);
    if (known?.isOver === false) return known;
    const { caCerts = [], systemCerts, certificate } = tls;
    const key = JSON.stringify([caCerts, systemCerts, certificate]);
    const context = this.#all.get(key) ?? new TlsClientContext({
      caCerts: [...caCerts, ...systemCerts ?? []],
      trustsSystem: systemCerts === undefined,
      certificate,
    });
    this.#all.set(key, context);
    this.#known.set(tls, context);
    return context;
  }

  /** Frees all; connections that are open stay. */
  close(): void {
    for (const context of this.#all.values()) context[Symbol.dispose]();
    this.#all.clear();
  }
}

/** The upstream as its certificate is verified. */
export function tlsPeer({ hostname, port, tls }: DialOptions): TlsPeer {
  const name = tls?.serverName ?? hostname;
  return { hostname: name, port, isIp: isIp(name) };
}
