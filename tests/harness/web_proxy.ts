/** The real program in HTTP mode, and requests to it. */
import { argsOf, type Flags, operatorsListener, Proxy } from "./proxy.ts";
import { type Reply, request, type Sent, WebConnection } from "./web_client.ts";
import type { WebNamed } from "./web_upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

export interface WebProxyOptions {
  readonly primary?: WebNamed;
  /** In order; a text is passed unchanged, like `page:FILE`. */
  readonly backups?: readonly (WebNamed | string)[];
  readonly flags?: Flags;
  /** Where clients connect; a free port of 127.0.0.1 by default. */
  readonly listen?: string;
  /** A command that starts the proxy and becomes it. */
  readonly under?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Checks are more frequent than usual, and everything is logged. Upstreams that share the cores with other tests may
 * answer late: tests with one that stands still set a shorter `check-timeout` themselves.
 */
const QUICK: Readonly<Record<string, string>> = {
  "log-level": "debug",
  "check-interval": "200ms",
  "check-timeout": "5s",
  "failback-damping": "off",
  "public-state": "full",
  "max-backoff": "1s",
};

export class WebProxy extends Proxy {
  /** One request on a separate connection. */
  async request(sent: Sent): Promise<Reply> {
    return await request(this.address, sent, this.lastLines);
  }

  /** One GET on a separate connection. */
  async get(target: string, lines: readonly string[] = []): Promise<Reply> {
    return await this.request({ target, lines });
  }

  /** Opens a connection on which the test sends requests. */
  async open(): Promise<WebConnection> {
    return new WebConnection(await this.connect());
  }
}

/** The arguments that a proxy is started with. */
export function webArgs(listen: string, { primary, backups, flags }: WebProxyOptions): string[] {
  return [
    ...["--listen", listen],
    ...(primary === undefined ? [] : ["--primary", primary.url]),
    ...(backups ?? []).flatMap((each) => [
      "--backup",
      typeof each === "string" ? each : each.url,
    ]),
    ...argsOf({ "json-logs": true, ...QUICK, ...flags }),
  ];
}

/** Starts the proxy and waits until it listens and has chosen; with `until`, for that event instead. */
export async function startWebProxy(
  options: WebProxyOptions,
  until:
    | "promotion.finished"
    | "selection.failed"
    | "service.continued"
    | "decision.followed"
    | "service.failedOpen" = "promotion.finished",
): Promise<WebProxy> {
  const listen = options.listen ?? `127.0.0.1:${unusedPort()}`;
  const proxy = new WebProxy(
    webArgs(listen, options),
    options.env ?? {},
    listen,
    undefined,
    options.under,
  );
  try {
    // The operator's listener belongs to no service.
    await proxy.event("port.opened", { service: /./ });
    await proxy.event(until);
    await operatorsListener(proxy, options.flags?.admin);
    return proxy;
  } catch (error) {
    await proxy[Symbol.asyncDispose]();
    throw error;
  }
}
