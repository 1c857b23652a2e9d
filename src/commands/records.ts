/** Where commands find incidents: in a running proxy, or in the state folder of one that need not run. */
import { describe } from "../base/describe.ts";
import { decode } from "../incidents/codec.ts";
import type { IncidentRecord } from "../incidents/record.ts";
import type { Recorded } from "../incidents/recording.ts";
import {
  incidentsFile,
  inputsOf,
  readIncidents,
  type StoredIncident,
} from "../incidents/stored.ts";
import { type Connection, NoProcess } from "./connection.ts";

/** A source of recorded incidents. */
export interface Records {
  /** All incidents, oldest first. */
  list(): Promise<readonly IncidentRecord[]>;
  /** The one with this id or with a promotion of this id; else why there is none, for a person. */
  find(id: string): Promise<IncidentRecord | string>;
  /** Its recorded inputs; undefined if they are not kept. */
  inputs(id: string): Promise<Recorded | undefined>;
}

/** The incidents of a running proxy. */
export function recordsOf(connection: Connection): Records {
  return {
    async list() {
      return (await connection.ask("incidents")).body.incidents as readonly IncidentRecord[];
    },
    async find(id) {
      const { status, body } = await connection.ask(`incidents/${encodeURIComponent(id)}`);
      return status === 200 ? body as unknown as IncidentRecord : String(body.error);
    },
    async inputs(id) {
      const path = `incidents/${encodeURIComponent(id)}?inputs=true`;
      return decode((await connection.ask(path)).body.inputs);
    },
  };
}

/** The incidents in a state folder. Rejects with `NoProcess` if it cannot be read. */
export async function recordsIn(folder: string): Promise<Records> {
  const stored = await readAll(folder);
  const find = (id: string) =>
    stored.find(({ record }) => record.id === id) ??
      stored.findLast(({ record }) => record.promotions.includes(id));
  return {
    list: () => Promise.resolve(stored.map(({ record }) => record)),
    find: (id) => Promise.resolve(find(id)?.record ?? `there is no incident ${id}`),
    inputs(id) {
      const found = find(id);
      return Promise.resolve(found && inputsOf(found));
    },
  };
}

async function readAll(folder: string): Promise<readonly StoredIncident[]> {
  try {
    await Deno.stat(incidentsFile(folder));
    const { incidents } = await readIncidents(folder);
    return [...incidents.values()].toSorted((a, b) => a.record.began < b.record.began ? -1 : 1);
  } catch (error) {
    const isMissing = error instanceof Deno.errors.NotFound;
    const reason = isMissing ? "it holds no incidents" : describe(error);
    throw new NoProcess(`cannot read the state folder ${folder}: ${reason}`);
  }
}
