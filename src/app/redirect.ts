/** A second port of an HTTPS service, which sends clients of HTTP to it. Part of the composition root. */
import { type AdminListener, listenAdmin } from "../admin/listen.ts";
import { type Address, formatAddress } from "../base/address.ts";
import type { HttpConfig } from "../config/options.ts";
import { listenersOf, receivedFor } from "./handed_over.ts";
import type { Service, ServiceContext } from "./service.ts";

/** Most connections at one time; idle ones are closed for others. */
export const REDIRECT_CONNECTIONS_MAX = 256;

/** Where a service listens for clients of HTTP, if `--redirect-http` asks for that. */
export function redirectAddress(
  { redirectHttp, listen }: Pick<HttpConfig, "redirectHttp" | "listen">,
): (Address & { readonly kind: "tcp" }) | undefined {
  if (redirectHttp === undefined || listen.kind !== "tcp") return undefined;
  return { kind: "tcp", host: listen.host, port: redirectHttp };
}

/** The answer to a request over HTTP: the same at the port of HTTPS, with the same method (308, RFC 9110). */
export function redirection(
  request: Pick<Request, "url" | "headers">,
  httpsPort: number,
): Response {
  const host = `http://${request.headers.get("host") ?? ""}`;
  if (!URL.canParse(host)) return new Response("Host is missing or malformed\n", { status: 400 });
  const { hostname } = new URL(host);
  const { pathname, search } = new URL(request.url);
  const port = httpsPort === 443 ? "" : `:${httpsPort}`;
  const location = `https://${hostname}${port}${pathname}${search}`;
  return new Response(null, { status: 308, headers: { location, "content-length": "0" } });
}

/** Opens the port. The result is `service`, with which it ends; an error line if it cannot listen. */
export async function withRedirect(
  service: Service,
  config: HttpConfig,
  context: ServiceContext,
): Promise<Service | string> {
  const address = redirectAddress(config);
  if (address === undefined || config.listen.kind !== "tcp") return service;
  const { port: httpsPort } = config.listen;
  const { clock, publish } = context;
  const port = await listenAdmin(address, {
    fetch: (request) => redirection(request, httpsPort),
  }, {
    clock,
    publish,
    connectionsMax: REDIRECT_CONNECTIONS_MAX,
    ...receivedFor(context, config.name, address),
  });
  if (typeof port !== "string") return joined(service, port, config.name);
  await service.stop(0, AbortSignal.abort());
  return `Cannot listen on ${
    formatAddress(address)
  }: ${port} (from ${config.origins.redirectHttp})`;
}

/** The service with its second port; all that does not concern that is its own. */
function joined(service: Service, port: AdminListener, name: string): Service {
  const leave: Service["leave"] = async (...args) => {
    port.leave();
    await port[Symbol.asyncDispose]();
    return await service.leave!(...args);
  };
  const own: Partial<Service> = {
    finished: Promise.race([service.finished, port.finished]),
    async stop(drainMs, now) {
      await port[Symbol.asyncDispose]();
      return await service.stop(drainMs, now);
    },
    listeners: () => [
      ...service.listeners?.() ?? [],
      ...listenersOf(name, port.address, port.passed()),
    ],
    ...service.leave === undefined ? {} : { leave },
  };
  return new Proxy(service, {
    get(target, key) {
      if (key in own) return Reflect.get(own, key);
      const value = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
