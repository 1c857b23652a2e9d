/**
 * An HTTP service whose data plane is in the threads that all services share. Checks, decisions, the listening
 * socket and the admin endpoints stay on this thread. Part of the composition root.
 */
import { formatAddress } from "../base/address.ts";
import { Fault } from "../base/fault.ts";
import type { HttpConfig } from "../config/options.ts";
import type { State } from "../failover/state.ts";
import type { ErrorPage } from "../gateway/error_page.ts";
import { REQUEST_CELLS, requestTimesOf } from "../gateway/request_times.ts";
import { Deadlines } from "../net/deadlines.ts";
import { denoSockets } from "../net/deno/transport.ts";
import { resolver } from "../net/resolve.ts";
import type { ThreadGroup } from "../threads/thread_group.ts";
import type { ShardedService } from "../threads/sharded_service.ts";
import type { ShardReport } from "../threads/messages.ts";
import type { AccessLogFile } from "../report/access_log_file.ts";
import { ShardedDataPlane } from "../threads/sharded_data_plane.ts";
import { Port } from "../threads/port.ts";
import { checkedUpstreams, newPseudonym, probeOf, standIns } from "./http_checks.ts";
import { clientTablesOf } from "./shares.ts";
import { ControlPlane } from "./control_plane.ts";
import {
  accountForDeadHttpShard,
  type FromHttpShard,
  HTTP,
  HTTP_COUNTERS,
  type HttpShardAnswer,
  type HttpShardQuestion,
  type HttpShardSettings,
  plainConfig,
  type ToHttpShard,
} from "./http_messages.ts";
import { listenersOf, receivedFor } from "./handed_over.ts";
import type { Service, ServiceContext } from "./service.ts";

/** The threads that were chosen, and the files of the service. */
export interface InThreads {
  readonly group: ThreadGroup;
  readonly page: ErrorPage;
  /** Whether a request may go to another upstream before a switch is decided. */
  readonly mayGoAhead: boolean;
}

/** Answers requests as the admin endpoints do. */
interface Endpoints {
  fetch(request: Request): Response | Promise<Response>;
}

/** What the main thread needs to answer the questions of shards. */
interface Answering {
  readonly endpoints: Endpoints;
  readonly accessLog: AccessLogFile | undefined;
}

/** Builds and starts the service. Its port is open when this resolves; requests wait for an upstream. */
export async function startInThreads(
  config: HttpConfig,
  context: ServiceContext,
  inThreads: InThreads,
): Promise<Service | string> {
  const { clock, publish, socketMode } = context;
  const { group } = inThreads;
  const { service, plane, control, endpoints } = addService(config, context, inThreads);
  const view = control.view({
    counters: () => service.counters(HTTP_COUNTERS),
    holdTimes: () => service.holdTimes(),
    requestTimes: () => requestTimesOf(service.more()),
  });
  endpoints.set(await context.publicEndpoints(view));
  const port = new Port({ address: config.listen, socketMode, userTimeoutMs: 0 }, {
    libc: group.libc,
    clock,
    publish,
    ...receivedFor(context, config.name, config.listen),
    opened: (listener, address) => {
      tell(service, { is: "address", address }, "address");
      void plane.listen(listener);
    },
  });
  const failed = await port.openOnce();
  if (failed !== undefined) {
    port.close(Promise.resolve());
    await control[Symbol.asyncDispose]();
    await service.stop(0).ended;
    return `Cannot listen on ${
      formatAddress(config.listen)
    }: ${failed} (from ${config.origins.listen})`;
  }
  control.begin();
  const stop = async (drainMs: number, now: AbortSignal, isLeft = false) => {
    // The port is closed first, because running triggers may take long to end.
    const { inForce, ended } = service.stop(drainMs, isLeft);
    const cutAll = () => service.cutAll();
    now.addEventListener("abort", cutAll);
    if (now.aborted) cutAll();
    port.close(inForce, isLeft ? "left" : "byThreads");
    await control[Symbol.asyncDispose]();
    tell(service, { is: "final" });
    const cut = await ended;
    now.removeEventListener("abort", cutAll);
    return cut;
  };
  let stopped: Promise<number> | undefined;
  return {
    view,
    finished: control.finished,
    suspend: () => control.suspend(),
    resume: () => control.resume(),
    stop: (drainMs, now) => stopped ??= stop(drainMs, now),
    listeners: () => listenersOf(config.name, config.listen, port.passed),
    leave: (_passOn, drainMs, now) => stopped ??= stop(drainMs, now, true),
  };
}

/** Begins the service in the threads, with a control plane that has not begun. */
function addService(config: HttpConfig, context: ServiceContext, inThreads: InThreads) {
  const { clock, publish, connectionsMax } = context;
  const { group, page: errorPage, mayGoAhead } = inThreads;
  const pseudonym = newPseudonym();
  // For the checks: the threads have connections of their own.
  const deps = { clock, deadlines: new Deadlines(clock), sockets: denoSockets, pseudonym };
  const checked = checkedUpstreams(config, { ...deps, caCerts: undefined });
  const [list, probe] = [checked.map(({ upstream }) => upstream), probeOf(checked)];
  const able = new Int32Array(new SharedArrayBuffer(list.length * Int32Array.BYTES_PER_ELEMENT));
  const settings: HttpShardSettings = {
    config: plainConfig(config),
    connectionsMax,
    ...clientTablesOf(config.maxConnectionsPerClient, connectionsMax, group.threads),
    errorPage,
    pseudonym,
    standIns: able,
  };
  const accessLog = context.accessLogs?.at(config.accessLog);
  let answering: Endpoints;
  const service = group.addService({
    kind: HTTP,
    settings,
    limits: [connectionsMax, config.holdClients],
    more: REQUEST_CELLS,
    onReport: (report, thread) => {
      if (report.is === "doubt") control.doubt(report.doubt);
      else if (report.is === "event") publish(report.event);
      else if (report.is === "message") {
        void answer(service, thread, report, { endpoints: answering, accessLog });
      }
    },
    accountForDeath: accountForDeadHttpShard,
  });
  const plane = new ShardedDataPlane(service);
  const onState = (state: State) => {
    const found = mayGoAhead ? standIns({ state, policy: control.policy }) : [];
    list.forEach((upstream, rank) => Atomics.store(able, rank, found.includes(upstream) ? 1 : 0));
  };
  const triggers = config.triggerMode;
  const parts = { upstreams: list, probe, triggers, failOpen: mayGoAhead, onState };
  const control: ControlPlane = new ControlPlane(config, parts, plane, context);
  return { service, plane, control, endpoints: { set: (to: Endpoints) => answering = to } };
}

function tell(service: ShardedService, what: ToHttpShard, topic?: string): void {
  void service.order({ do: "message", what }, topic);
}

/** Answers what the shard in one thread has asked. Never rejects. */
async function answer(
  service: ShardedService,
  thread: number,
  { what }: ShardReport & { readonly is: "message" },
  by: Answering,
): Promise<void> {
  const { id, question } = what as FromHttpShard;
  const answer = await answerTo(question, by);
  service.orderOne(thread, {
    do: "message",
    what: { is: "answer", id, answer } satisfies ToHttpShard,
  });
}

async function answerTo(
  question: HttpShardQuestion,
  { endpoints, accessLog }: Answering,
): Promise<HttpShardAnswer> {
  if (question.about === "name") {
    const found = await resolver.resolve(question.host);
    return { about: "name", ips: found instanceof Fault ? [] : found };
  }
  if (question.about === "lines") {
    const written = await accessLog?.write(question.lines);
    return { about: "lines", ...written ?? { lost: 0, reason: "" } };
  }
  const { method, url, headers } = question;
  const request = new Request(url, { method, headers: headers.map(([...pair]) => pair) });
  const response = await endpoints.fetch(request);
  return {
    about: "request",
    status: response.status,
    headers: [...response.headers],
    body: response.body === null ? null : await response.bytes(),
  };
}
