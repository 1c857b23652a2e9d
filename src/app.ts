/**
 * The composition root: from a config to running services and back down again. Everything is built here,
 * and nothing here decides anything.
 */
import { realClock, sleep } from "./base/clock.ts";
import type { Config, ServiceConfig } from "./config/options.ts";
import { EventStream } from "./events/stream.ts";
import { findCheck, findTriggers } from "./hooks/find.ts";
import { Programs } from "./hooks/program.ts";
import { Log, type Sink } from "./report/log.ts";
import type { Service, ServiceContext, Starter } from "./service.ts";

/** What the outside may ask of a running program. */
export interface Orders {
  /** Aborted when the program should end; the reason is a word for the log. */
  readonly stop: AbortSignal;
  /** Aborted when it should end without waiting for anybody. */
  readonly stopNow: AbortSignal;
  /** Called with what to do when the operator wants the best rank back. */
  onFailbackOrder(failback: () => void): void;
}

export interface Outcome {
  readonly exitCode: 0 | 1 | 2;
  /** For stderr: what kept the program from running. */
  readonly lines: readonly string[];
}

/** Events that are remembered for whoever asks later. */
const EVENTS_KEPT = 256;
/** How long the last log lines may take to be written when the program ends. */
const LAST_LINES_MS = 1_000;

/** Runs all services until told to stop. Resolves when everything has ended. */
export async function run(
  config: Config,
  warnings: readonly string[],
  version: string,
  orders: Orders,
  stderr: Sink,
): Promise<Outcome> {
  const { process } = config;
  const events = new EventStream(realClock, { keep: EVENTS_KEPT });
  const log = new Log({ level: process.logLevel, json: process.jsonLogs }, stderr);
  events.subscribe(log.take);

  const plans = await Promise.all(config.services.map(planFor));
  const mistakes = plans.flatMap((plan) => plan.mistakes);
  if (mistakes.length > 0) return { exitCode: 2, lines: mistakes };
  for (const { config: { name, origins }, starter } of plans) {
    const taken = await starter.tryListen();
    if (taken === undefined) continue;
    const { listenOption, listensOn } = starter;
    const origin = `option ${listenOption} of service ${name}, from ${origins[listenOption]}`;
    return { exitCode: 1, lines: [`Cannot listen on ${listensOn}: ${taken} (${origin})`] };
  }

  for (const warning of warnings) events.publish("", { type: "config.warned", warning });
  events.publish("", { type: "proxy.started", version, services: plans.length });
  const outcome = await serve(plans, config, events, orders);
  await Promise.race([log.flushed(), sleep(realClock, LAST_LINES_MS)]);
  return outcome;
}

interface Plan {
  readonly config: ServiceConfig;
  readonly starter: Starter;
  readonly mistakes: readonly string[];
  readonly warnings: readonly string[];
  readonly triggerWarnings: readonly string[];
}

/** Looks at the operator's programs and the mode of one service, before anything runs. */
async function planFor(config: ServiceConfig): Promise<Plan> {
  const nothing = { programs: [], mistakes: [], warnings: [] };
  const { checkHost, onFailover, origins } = config;
  const check = checkHost === undefined ? nothing : await findCheck(checkHost);
  const triggers = onFailover === undefined ? nothing : await findTriggers(onFailover);
  const starter = await starterFor(config);
  return {
    config,
    starter,
    mistakes: [
      ...check.mistakes.map((m) => `${m} (option check-host, from ${origins.checkHost})`),
      ...triggers.mistakes.map((m) => `${m} (option on-failover, from ${origins.onFailover})`),
    ],
    warnings: [...check.warnings, ...triggers.warnings],
    triggerWarnings: triggers.warnings,
  };
}

/** Loads only the code of the mode that is asked for. */
async function starterFor(config: ServiceConfig): Promise<Starter> {
  if (config.mode === "tcp") return (await import("./tcp_service.ts")).tcpStarter(config);
  return (await import("./http_service.ts")).httpStarter(config);
}

async function serve(
  plans: readonly Plan[],
  config: Config,
  events: EventStream,
  orders: Orders,
): Promise<Outcome> {
  const clock = realClock;
  await using programs = new Programs(clock);
  const instance = crypto.randomUUID().slice(0, 8);
  const services: Service[] = [];
  for (const { config, starter, warnings, triggerWarnings } of plans) {
    const publish = events.scope(config.name);
    for (const warning of warnings) publish({ type: "config.warned", warning });
    const context: ServiceContext = { clock, publish, programs, triggerWarnings, instance };
    const service = await starter.start(context);
    if (typeof service === "string") {
      await Promise.all(services.map((s) => s.stop(0, AbortSignal.abort())));
      return { exitCode: 2, lines: [service] };
    }
    services.push(service);
  }
  orders.onFailbackOrder(() => services.forEach((service) => service.orderFailback()));

  await Promise.race([aborted(orders.stop), ...services.map((service) => service.finished)]);
  const { drainTimeout } = config.process;
  const reason = String(orders.stop.reason);
  events.publish("", { type: "proxy.stopping", reason, drainMs: drainTimeout });
  const cuts = await Promise.all(services.map((s) => s.stop(drainTimeout, orders.stopNow)));
  const cutSessions = cuts.reduce((sum, cut) => sum + cut, 0);
  events.publish("", { type: "proxy.stopped", cutSessions });
  return { exitCode: 0, lines: [] };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
