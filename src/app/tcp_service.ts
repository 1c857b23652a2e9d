/** Builds a TCP service from a relay and a control plane. Part of the composition root. */
import { formatAddress } from "../base/address.ts";
import { tryBind } from "../net/deno/bind.ts";
import { linuxTryConnect } from "../net/linux/try_connect.ts";
import { tryConnectByDeno } from "../net/try_connect.ts";
import { checkClockOf } from "./check_clock.ts";
import { ControlPlane, type ControlPlaneParts } from "./control_plane.ts";
import type { TcpConfig } from "../config/options.ts";
import { tcpProbe } from "../health/tcp.ts";
import {
  EngineUnavailable,
  type Relay,
  type RelayContext,
  type RelaySettings,
} from "../relay/engine.ts";
import { startRelay } from "../relay/relay.ts";
import { startSplice } from "../relay/splice/splice.ts";
import type { Need } from "../net/descriptors.ts";
import { listenersOf, receivedFor } from "./handed_over.ts";
import { changedTables, checkDescriptors, clientTablesOf } from "./shares.ts";
import { refusalsOf } from "./refusals.ts";
import { type Databases, databasesOf, promotionBy } from "./service_databases.ts";
import type { PreparedChange, Service, ServiceChange, ServiceContext, Starter } from "./service.ts";

/** A TCP service that can be started. `env` is the environment of the process, from which databases read. */
export function tcpStarter(
  config: TcpConfig,
  env: Readonly<Record<string, string>>,
): Starter {
  return {
    listenOption: "bind",
    listensOn: formatAddress(config.bind),
    need: needOf(config),
    tryListen: () => tryBind(config.bind),
    start: (context) => start(config, context, env),
  };
}

/** Descriptors of its port, and a few that it opens for a moment. */
const SERVICE_DESCRIPTORS = 4;
/** The connection to an upstream that a check keeps, and one that takes its place. */
const KEPT_DESCRIPTORS = 2;
/** One pipe (two descriptors) for this many clients; the bytes of clients without a pipe are copied. */
const CLIENTS_PER_PIPE = 4;

function needOf({ hosts, check, checkHost, maxConnections, relay }: TcpConfig): Need {
  const kept = check === "tcp" ? 0 : KEPT_DESCRIPTORS;
  const fixed = hosts.length * (checkDescriptors(checkHost) + kept) + SERVICE_DESCRIPTORS;
  // Both ends of a session, and pipes where they are used.
  const each = relay === "stream" ? 2 : 2 + 2 / CLIENTS_PER_PIPE;
  return { asked: maxConnections, each, fixed };
}

/** What the options make of the service. */
interface Layout {
  readonly config: TcpConfig;
  readonly context: ServiceContext;
  readonly settings: RelaySettings;
  readonly parts: ControlPlaneParts;
}

/** Builds and starts the service. Its port opens after the first promotion. */
async function start(
  config: TcpConfig,
  context: ServiceContext,
  env: Readonly<Record<string, string>>,
): Promise<Service | string> {
  const { clock, publish } = context;
  const databases = await databasesOf(config, {
    clock: checkClockOf(config, context),
    env,
    timeoutMs: () => current.config.checkTimeout,
    onEnd: (upstream, reason) => control.connectionEnded(upstream, reason),
    upstreams: () => current.parts.upstreams,
  });
  const tables = clientTablesOf(
    config.maxConnectionsPerClient,
    context.connectionsMax,
    context.threads.asked,
  );
  let current = layOut(config, context, tables, databases);
  const relay = relayOf(current, {
    clock,
    publish,
    doubt: (doubt) => control.doubt(doubt),
    ...receivedFor(context, config.name, config.bind),
  });
  if (relay instanceof EngineUnavailable) {
    return `Cannot use the relay engine ${config.relay}: ${relay.reason} (from ${config.origins.relay})`;
  }
  const control: ControlPlane = new ControlPlane(config, current.parts, relay, context);
  control.begin();
  const put = async (layout: Layout) => {
    current = layout;
    const inForce = relay.configure(layout.settings);
    control.configure(layout.config, layout.parts, layout.context);
    await inForce;
    await databases?.keepOnly(layout.parts.upstreams);
  };
  const prepare = ({ config, ...change }: ServiceChange): PreparedChange | readonly string[] => {
    if (config.mode !== "tcp") throw new Error("a service of another mode");
    const next = layOut(
      config,
      { ...current.context, ...change },
      changedTables(tables, config.maxConnectionsPerClient),
      databases,
    );
    const reasons = refusalsOf(control, config, tables, next.parts.upstreams);
    if (reasons.length > 0) return reasons;
    const before = current;
    return { changedFiles: [], apply: () => put(next), undo: () => put(before) };
  };
  return {
    view: control.view({
      counters: () => relay.counters(),
      holdTimes: () => relay.holdTimes(),
    }),
    finished: Promise.race([relay.finished, control.finished]),
    prepare: (change) => Promise.resolve(prepare(change)),
    busyWith: () => control.busyWith,
    suspend: () => control.suspend(),
    resume: () => control.resume(),
    listeners: () => listenersOf(config.name, config.bind, relay.passed?.()),
    ...endsOf(config.name, relay, control, databases),
    receive: (parcel) => relay.receive?.(parcel),
  };
}

/** How the service ends, by itself or by leaving its connections to another process. */
function endsOf(
  name: string,
  relay: Relay,
  control: ControlPlane,
  databases: Databases | undefined,
): Required<Pick<Service, "stop" | "leave">> {
  const ended = async (stopping: Promise<number>) => {
    await control[Symbol.asyncDispose]();
    await databases?.[Symbol.asyncDispose]();
    const cut = await stopping;
    await relay[Symbol.asyncDispose]();
    return cut;
  };
  return {
    // The port is closed first, because running triggers may take long to end.
    stop: (drainMs, now) => ended(relay.stop(drainMs, now)),
    leave: (passOn, drainMs, now) =>
      ended(
        relay.leave?.((parcel) => passOn(name, parcel), drainMs, now) ?? relay.stop(drainMs, now),
      ),
  };
}

function layOut(
  config: TcpConfig,
  context: ServiceContext,
  tables: ReturnType<typeof clientTablesOf>,
  databases: Databases | undefined,
): Layout {
  const { socketMode, connectionsMax, clock, threads: { asked, group } } = context;
  const { libc } = group ?? {};
  const tryConnect = libc === undefined ? tryConnectByDeno : linuxTryConnect(libc, clock);
  return {
    config,
    context,
    settings: {
      bind: config.bind,
      connectTimeoutMs: config.connectTimeout,
      idleTimeoutMs: config.idleTimeout,
      holdMs: config.hold,
      heldMax: config.holdClients,
      connectionsMax,
      pipesMax: Math.max(1, Math.floor(connectionsMax / CLIENTS_PER_PIPE / asked)),
      workers: asked,
      sendProxy: config.sendProxy,
      ...config.acceptProxy === "none" ? {} : { acceptProxy: config.acceptProxy },
      ...tables,
      socketMode,
    },
    parts: {
      upstreams: config.hosts.map(({ name, address }, rank) => ({ name, address, rank })),
      probe: databases?.probe ??
        tcpProbe(config.checkTimeout, checkClockOf(config, context), tryConnect),
      ...databases !== undefined && config.promote
        ? { promote: promotionBy(databases, config, context) }
        : {},
      triggers: config.triggerMode,
      failOpen: false,
    },
  };
}

function relayOf({ config, settings, context }: Layout, relayContext: RelayContext) {
  const { group, unsupportedReason } = context.threads;
  return startRelay(
    config.relay,
    settings,
    relayContext,
    (settings, context) =>
      group === undefined
        ? new EngineUnavailable(unsupportedReason ?? "it has no threads")
        : startSplice(settings, context, group),
  );
}
