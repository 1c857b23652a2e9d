/** A drill over HTTP: `POST /__failover/drill?service=NAME&run_triggers=true&reason=TEXT`. */
import type { Context } from "hono";
import type { DrillResult } from "../failover/drill.ts";
import { oneServiceOf, refusePages, shortLine } from "./orders.ts";
import { type DrillFault, type DrillFindings, isReady, type ServiceView } from "./view.ts";

const PARAMETERS = ["service", "run_triggers", "reason", "wait"];

/** Answers with the result of the drill, or with the reason why it is refused. `by`: who ordered it. */
export async function answerDrill(
  c: Context,
  services: readonly ServiceView[],
  by: string,
): Promise<Response> {
  const query = c.req.query();
  const wrong = refusePages(c);
  if (wrong !== undefined) return wrong;
  const unknown = Object.keys(query).find((key) => !PARAMETERS.includes(key));
  if (unknown !== undefined) return c.json({ error: `drill has no parameter ${unknown}` }, 400);
  const runs = query.run_triggers ?? "false";
  if (runs !== "true" && runs !== "false") {
    return c.json({ error: `run_triggers is true or false, not ${shortLine(runs)}` }, 400);
  }
  const view = oneServiceOf(services, query.service);
  if (view?.drill === undefined) {
    const names = services.map((service) => service.name);
    return c.json({ error: "name one service: ?service=NAME", services: names }, 400);
  }
  const reason = shortLine(query.reason ?? "");
  const found = await view.drill({ by, reason, runTriggers: runs === "true" });
  if (typeof found === "string") return c.json({ error: found, outcome: "refused" }, 409);
  return c.json(reportOf(view, found));
}

/** The JSON of a drill. Times are in milliseconds; one without a limit is null. */
function reportOf(view: ServiceView, { result, triggers, faults }: DrillFindings) {
  const { paused, cluster } = view.state();
  return {
    service: view.name,
    mode: view.mode,
    active: result.active ?? null,
    standbys: result.answers.map(({ upstream: { name, rank }, result, excluded, isSuspect }) => ({
      name,
      rank,
      passed: result.passed,
      evidence: result.evidence,
      reason: result.reason,
      took_ms: tenth(result.tookMs),
      verdict_is_down: isSuspect,
      excluded: excluded ?? null,
    })),
    chosen: result.chosen ?? null,
    why: result.why,
    choice_ms: tenth(result.choiceMs),
    paused: paused !== undefined,
    /** Several proxies share their decisions, and etcd cannot be used. */
    cut_off: cluster?.role === "cutOff",
    /** As in the state and the metrics, which depend on the verdicts. */
    ready: isReady(view),
    triggers: { count: triggers, ...triggersReport(result) },
    faults: faults.map(faultReport),
  };
}

function triggersReport({ triggers }: DrillResult) {
  if (triggers === undefined) return { ran: false };
  const { outcome, tookMs, programs } = triggers;
  return {
    ran: true,
    outcome: outcome.how,
    reason: "reason" in outcome ? outcome.reason : null,
    took_ms: tenth(tookMs),
    programs: programs.map(({ program, reason, tookMs }) => ({
      program,
      reason: reason ?? null,
      took_ms: tenth(tookMs),
    })),
  };
}

function faultReport({ name, worstMs, usualMs, terms }: DrillFault) {
  return {
    name,
    usual_ms: tenth(usualMs),
    worst_ms: tenth(worstMs),
    terms: terms.map(({ what, worstMs, usualMs }) => ({
      what,
      usual_ms: tenth(usualMs),
      worst_ms: tenth(worstMs),
    })),
  };
}

function tenth(ms: number): number | null {
  return ms === Infinity ? null : Math.round(ms * 10) / 10;
}
