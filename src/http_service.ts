/** One HTTP service: a gateway, what serves it to clients, and a brain, joined. Part of the composition root. */
import { formatAddress } from "./base/address.ts";
import { tryBind } from "./net/bind.ts";
import { Brain } from "./brain.ts";
import type { HttpConfig } from "./config/options.ts";
import { isDown } from "./failover/health.ts";
import type { Upstream } from "./failover/upstream.ts";
import { DEFAULT_PAGE, type ErrorPage } from "./gateway/answers.ts";
import { Gateway } from "./gateway/gateway.ts";
import { listen, type ListenSettings } from "./gateway/listen.ts";
import { Deadlines } from "./http1/deadlines.ts";
import { chooseSockets } from "./http_sockets.ts";
import { httpUpstreams } from "./http_upstreams.ts";
import type { Service, ServiceContext, Starter } from "./service.ts";

export function httpStarter(config: HttpConfig): Starter {
  return {
    listenOption: "listen",
    listensOn: formatAddress(config.listen),
    tryListen: () => tryBind(config.listen),
    start: (context) => start(config, context),
  };
}

/** What the operator named by path, read before anything starts. */
interface Files {
  readonly caCerts: readonly string[] | undefined;
  readonly errorPage: ErrorPage;
  readonly tls: ListenSettings["tls"];
}

/** Builds the service and lets it begin. Its port is open from now on; requests wait for an upstream. */
async function start(config: HttpConfig, context: ServiceContext): Promise<Service | string> {
  const files = await readFiles(config);
  if (typeof files === "string") return files;
  const { clock, publish } = context;
  const sockets = chooseSockets(config, context);
  if (typeof sockets === "string") return sockets;
  const deadlines = new Deadlines(clock);
  const upstreams = httpUpstreams(config, { clock, deadlines, sockets, caCerts: files.caCerts });
  // Where the switch waits for triggers, nobody is let through without them.
  const mayGoAhead = config.triggerMode === "beside" || config.onFailover === undefined;
  const gateway: Gateway = new Gateway(gatewaySettings(config, files.errorPage), {
    clock,
    deadlines,
    publish,
    upstreams: upstreams.ways,
    doubt: (doubt) => brain.doubt(doubt),
    others: () => mayGoAhead ? standIns(brain) : [],
    // Nobody can ask before there is somebody to answer.
    admin: { fetch: (request) => window.fetch(request) },
  });
  const parts = {
    upstreams: upstreams.list,
    probe: upstreams.probe,
    triggers: config.triggerMode,
    failOpen: mayGoAhead,
  };
  const brain: Brain = new Brain(config, parts, gateway, context);
  const view = brain.view(() => gateway.counters());
  const window = await context.publicWindow(view);
  const { listen: address, maxConnections: connectionsMax } = config;
  const listening = await listen({ address, connectionsMax, tls: files.tls }, {
    clock,
    deadlines,
    publish,
    sockets,
    app: gateway.fetch,
  });
  if (typeof listening === "string") {
    await brain[Symbol.asyncDispose]();
    await sockets.close();
    return `Cannot listen on ${
      formatAddress(address)
    }: ${listening} (from ${config.origins.listen})`;
  }
  brain.begin();
  return {
    view,
    finished: Promise.race([listening.finished, brain.finished]),
    async stop(drainMs, now) {
      // First of all the port: running triggers may take their time to end.
      const cut = listening.stop(drainMs, now);
      await brain[Symbol.asyncDispose]();
      // Nobody decides any more, so whoever waits for a decision waits in vain.
      await gateway.refuse();
      await cut;
      gateway[Symbol.dispose]();
      await sockets.close();
      return cut;
    },
  };
}

/** Who may stand in for one exchange before a switch is decided. */
function standIns({ state, policy }: Brain): readonly Upstream[] {
  return state.upstreams.filter(({ name }) => !isDown(state.health.get(name)!, policy));
}

async function readFiles(config: HttpConfig): Promise<Files | string> {
  const failed: string[] = [];
  const read = async (option: "caFile" | "errorPage" | "tlsCert" | "tlsKey") => {
    const path = config[option];
    if (path === undefined) return undefined;
    try {
      return await Deno.readFile(path);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      failed.push(`Cannot read ${path}: ${why} (from ${config.origins[option]})`);
    }
  };
  const text = (bytes: Uint8Array | undefined) =>
    bytes === undefined ? undefined : new TextDecoder().decode(bytes);
  const ca = text(await read("caFile"));
  const page = await read("errorPage");
  const [cert, key] = [text(await read("tlsCert")), text(await read("tlsKey"))];
  if (failed.length > 0) return failed.join("\n");
  if ((config.tlsCert === undefined) !== (config.tlsKey === undefined)) {
    return "Cannot serve HTTPS with only one of --tls-cert and --tls-key";
  }
  const isHtml = /\.html?$/i.test(config.errorPage ?? "");
  const contentType = `text/${isHtml ? "html" : "plain"}; charset=utf-8`;
  return {
    caCerts: ca === undefined ? undefined : [ca],
    errorPage: page === undefined ? DEFAULT_PAGE : { contentType, bytes: page },
    tls: cert === undefined || key === undefined ? undefined : {
      certPath: config.tlsCert!,
      keyPath: config.tlsKey!,
      cert,
      key,
    },
  };
}

function gatewaySettings(config: HttpConfig, errorPage: ErrorPage) {
  return {
    holdMs: config.hold,
    heldMax: config.holdClients,
    responseTimeoutMs: config.responseTimeout,
    idleTimeoutMs: config.idleTimeout,
    bodyMax: config.maxBody,
    honourIdempotencyKey: config.honourIdempotencyKey,
    failoverHeader: !config.noFailoverHeader,
    errorPage,
  };
}
