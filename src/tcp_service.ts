/**
 * One TCP service: its relay, checks, triggers and controller, joined. Part of the composition root; all
 * it knows is who needs whom, and in which order they start and end.
 */
import { formatAddress } from "./base/address.ts";
import type { Clock } from "./base/clock.ts";
import type { TcpConfig } from "./config/options.ts";
import type { Publish } from "./events/events.ts";
import { Controller } from "./failover/controller.ts";
import type { Probe, Triggers } from "./failover/ports.ts";
import type { Policy } from "./failover/state.ts";
import type { Upstream } from "./failover/upstream.ts";
import { allOf } from "./health/all_of.ts";
import { Checker } from "./health/checker.ts";
import { tcpProbe } from "./health/tcp.ts";
import { scriptProbe } from "./hooks/check.ts";
import { KILL_GRACE_MS, type Programs } from "./hooks/program.ts";
import { ProgramTriggers } from "./hooks/trigger.ts";
import { EngineUnavailable, type RelayContext } from "./relay/engine.ts";
import { tryBind } from "./relay/port.ts";
import { startRelay } from "./relay/relay.ts";
import type { Service, ServiceContext, Starter } from "./service.ts";

/** Time between two checks while a verdict is in doubt. */
const DOUBT_MS = 500;
/** What a probe may take beyond its own deadlines before it counts as broken: more than a kill takes. */
const PROBE_SLACK_MS = 2 * KILL_GRACE_MS + 1_000;

export function tcpStarter(config: TcpConfig): Starter {
  return {
    listenOption: "bind",
    listensOn: formatAddress(config.bind),
    tryListen: () => tryBind(config.bind),
    start: (context) => start(config, context),
  };
}

/** Builds the service and lets it begin; its port opens when the first upstream has been promoted. */
async function start(config: TcpConfig, context: ServiceContext): Promise<Service | string> {
  const { clock, publish } = context;
  const upstreams = upstreamsOf(config);
  const policy = policyOf(config, context.instance);
  const relay = await relayOf(config, {
    clock,
    publish,
    doubt: (doubt) => controller.post({ type: "doubted", doubt }),
  });
  if (relay instanceof EngineUnavailable) {
    return `Cannot use the relay engine ${config.relay}: ${relay.reason} (from ${config.origins.relay})`;
  }
  const checker = new Checker({
    upstreams,
    probe: probeOf(config, context.programs, clock, publish),
    intervalMs: config.checkInterval,
    doubtMs: DOUBT_MS,
    probeMaxMs: config.checkTimeout + config.checkScriptTimeout + PROBE_SLACK_MS,
  }, {
    clock,
    random: Math.random,
    context: () => {
      const { lastChosen, phase, epoch } = controller.state;
      return { lastChosen, phase: phase.name, epoch };
    },
    post: (upstream, result) => controller.post({ type: "probed", upstream, result }),
  });
  const controller: Controller = new Controller(upstreams, policy, {
    clock,
    publish,
    plane: relay,
    checks: checker,
    triggers: triggersOf(config, context.programs, publish, context.triggerWarnings),
  });
  controller.post({ type: "begun" });
  return {
    view: {
      name: config.name,
      mode: "tcp",
      policy,
      state: () => controller.state,
      history: (upstream) => controller.history.of(upstream),
      counters: () => relay.counters(),
      nextCheckAt: (upstream) => checker.nextAt(upstream),
      failback: () => controller.post({ type: "failbackOrdered" }),
    },
    finished: Promise.race([relay.finished, controller.finished, checker.finished]),
    async stop(drainMs, now) {
      // First of all the port: running triggers may take their time to end.
      const cut = relay.stop(drainMs, now);
      await checker[Symbol.asyncDispose]();
      await controller[Symbol.asyncDispose]();
      await cut;
      await relay[Symbol.asyncDispose]();
      return cut;
    },
  };
}

function upstreamsOf(config: TcpConfig): readonly Upstream[] {
  return config.hosts.map(({ name, address }, rank) => ({ name, address, rank }));
}

function probeOf(config: TcpConfig, programs: Programs, clock: Clock, publish: Publish): Probe {
  const connects = tcpProbe(config.checkTimeout, clock);
  if (config.checkHost === undefined) return connects;
  const settings = {
    path: config.checkHost,
    timeoutMs: config.checkScriptTimeout,
    service: config.name,
  };
  return allOf(connects, scriptProbe(settings, programs, publish));
}

function triggersOf(
  config: TcpConfig,
  programs: Programs,
  publish: Publish,
  warnings: readonly string[],
): Triggers {
  if (config.onFailover === undefined) return { run: () => Promise.resolve() };
  const settings = {
    path: config.onFailover,
    timeoutMs: config.triggerTimeout,
    service: config.name,
    warnings,
  };
  return new ProgramTriggers(settings, programs, publish);
}

function relayOf(config: TcpConfig, context: RelayContext) {
  const settings = {
    bind: config.bind,
    connectTimeoutMs: config.connectTimeout,
    idleTimeoutMs: config.idleTimeout,
    holdMs: config.hold,
    heldMax: config.holdClients,
    connectionsMax: config.maxConnections,
    workers: config.workers === "auto" ? navigator.hardwareConcurrency : config.workers,
    sendProxy: config.sendProxy,
  };
  return startRelay(config.relay, settings, context);
}

function policyOf(config: TcpConfig, instance: string): Policy {
  return {
    rise: config.recoverThreshold,
    fall: config.failThreshold,
    holdMs: config.hold,
    holdWhile: config.holdWhile,
    failOpen: false,
    failback: config.failback,
    damping: config.failbackDamping,
    maxBackoffMs: config.maxBackoff,
    sessionsOnDown: config.sessionsOnDown,
    graceMs: config.grace,
    triggers: "before",
    instance,
  };
}
