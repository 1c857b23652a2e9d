/** The records of incidents, and what the services did in the last 24 hours, over HTTP. For operators only. */
import type { Context } from "hono";
import type { Incidents } from "../incidents/incidents.ts";
import { encode } from "../incidents/codec.ts";
import type { ServiceView } from "./view.ts";

interface Settings {
  readonly services: readonly ServiceView[];
  readonly incidents: Pick<Incidents, "list" | "find" | "inputs" | "timeline">;
}

/** `GET /__failover/incidents?service=NAME`: all records in memory, oldest first. */
export function answerIncidents(c: Context, { services, incidents }: Settings): Response {
  const name = c.req.query("service");
  return unknown(c, services, name) ?? c.json({ incidents: incidents.list(name) });
}

/** `GET /__failover/incidents/ID`: one record; with `inputs=true` also what `replay` needs. */
export async function answerIncident(c: Context, { incidents }: Settings): Promise<Response> {
  const id = c.req.param("id") ?? "";
  const record = incidents.find(id);
  if (record === undefined) return c.json({ error: `there is no incident ${id}` }, 404);
  if (c.req.query("inputs") !== "true") return c.json(record);
  const recorded = await incidents.inputs(record.id);
  return c.json({ ...record, inputs: recorded === undefined ? null : encode(recorded) });
}

/** `GET /__failover/timeline?service=NAME`: each change of phase, upstream and admission, oldest first. */
export function answerTimeline(c: Context, { services, incidents }: Settings): Response {
  const name = c.req.query("service");
  const wrong = unknown(c, services, name);
  if (wrong !== undefined) return wrong;
  const asked = services.filter((view) => name === undefined || view.name === name);
  return c.json({
    services: asked.map((view) => ({
      service: view.name,
      changes: incidents.timeline(view.name),
    })),
  });
}

function unknown(
  c: Context,
  services: readonly ServiceView[],
  name: string | undefined,
): Response | undefined {
  if (name === undefined || services.some((view) => view.name === name)) return undefined;
  return c.json({ error: `no service "${name}"` }, 404);
}
